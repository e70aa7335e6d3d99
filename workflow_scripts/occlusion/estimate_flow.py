"""Frames → flow magnitude beyond the rigid motion of camera, head and torso, and that motion."""

import numpy as np

from wildtalker_core.errors import InputError
from wildtalker_core.media.files import load_arrays, save_arrays
from wildtalker_core.media.frame_store import FrameStore, write_frames
from wildtalker_core.media.splits import load_split
from wildtalker_core.occlusion.flow import (
    DisFlow,
    FlowEstimator,
    measure_motion,
    measure_raw_motion,
)
from wildtalker_core.occlusion.options import FlowOptions
from wildtalker_core.progress import progress
from workflow_scripts.job import call, job


def main(
    frames_path: str,
    parsing_path: str,
    landmarks_path: str,
    split_path: str,
    flow_magnitude_path: str,
    rigid_motion_path: str,
    options: FlowOptions,
) -> None:
    """Stream over the clip; ``flow_batch_size`` + 1 frames are in memory.

    Raises InputError: the three inputs speak of different numbers of frames.
    """
    frames, parsing = FrameStore(frames_path), FrameStore(parsing_path)
    landmarks = load_arrays(landmarks_path, "landmarks")["landmarks"]
    for path, n_frames in ((parsing_path, len(parsing)), (landmarks_path, len(landmarks))):
        if n_frames != len(frames):
            raise InputError(
                path, f"has {n_frames} frames, {frames_path} has {len(frames)}", "make both again"
            )
    part_starts = load_split(split_path).ends[:-1]
    measure = measure_motion if options.beyond_rigid else measure_raw_motion
    estimate, use_hands = make_estimator(options), options.use_hands
    batch_size = 1 if options.flow == "dis" else options.flow_batch_size
    motions = measure(frames, parsing, landmarks, estimate, batch_size, use_hands, part_starts)
    models = []
    with write_frames(
        flow_magnitude_path, len(frames), frames.shape[1:3], dtype="float16"
    ) as writer:
        for motion in progress(motions, "estimating flow", len(frames)):
            writer.append(motion.beyond_rigid)
            models.append(motion.rigid.models())
    background, head, torso = (np.stack(part) for part in zip(*models, strict=True))
    save_arrays(rigid_motion_path, background=background, head=head, torso=torso)


def make_estimator(options: FlowOptions) -> FlowEstimator:
    """The optical flow that the config section ``occlusion`` names."""
    if options.flow == "dis":
        return DisFlow(options.dis_preset)
    from wildtalker_core.pretrained.optical_flow import PtlFlow

    return PtlFlow(options.flow_model, options.flow_weights_path, options.device)


if __name__ == "__main__":
    with job(snakemake):
        call(main, snakemake, options=FlowOptions(**snakemake.params.options))
