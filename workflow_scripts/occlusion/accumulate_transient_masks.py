"""Flow magnitude → transient masks (Eq. 4), 255 = ignore."""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np

from wildtalker_core.media.files import load_arrays, load_json
from wildtalker_core.media.frame_store import FrameStore, write_frames
from wildtalker_core.media.image import at_most
from wildtalker_core.media.splits import load_split
from wildtalker_core.occlusion.flow import ANALYSIS_PX, without_hands
from wildtalker_core.occlusion.options import MaskOptions
from wildtalker_core.occlusion.rigid_motion import RigidMotion
from wildtalker_core.occlusion.transient_mask import (
    Decay,
    HalfLives,
    RestMemory,
    accumulate,
    adaptive_decay,
    constant_decay,
    restrict_to_transients,
    threshold_px,
    without_head_motion,
)
from wildtalker_core.progress import progress
from workflow_scripts.job import call, job


def main(
    frames_path: str,
    flow_magnitude_path: str,
    rigid_motion_path: str,
    parsing_path: str,
    manifest_path: str,
    split_path: str,
    transient_mask_path: str,
    options: MaskOptions,
) -> None:
    """Stream over the clip; one mask is in memory.

    The past of a frame is the run of frames that show the person which it lies in; its future ends
    with its part of the clip, so that no test frame masks a training frame.
    """
    frames, magnitudes = FrameStore(frames_path), FrameStore(flow_magnitude_path)
    parsing = FrameStore(parsing_path)
    fps, split = load_json(manifest_path)["fps"], load_split(split_path)
    n_frames, height, width = magnitudes.shape
    # ASSUME: masks are accumulated at the size at which the flow is judged; more shows nothing new
    # and costs its area.
    scale = min(1.0, ANALYSIS_PX / height)
    size = (round(scale * width), round(scale * height))
    motions = [motion.scaled(scale) for motion in load_motions(rigid_motion_path)]
    flow_threshold_px = threshold_px(options.flow_threshold, size[1], fps)

    @lru_cache(4)  # each frame's parsing is asked for twice, at nearly the same time
    def small_parsing(number: int) -> np.ndarray:
        return at_most(parsing[number], ANALYSIS_PX)

    def motion(number: int) -> np.ndarray:
        if number and not split.is_counted[number - 1]:
            return np.zeros(size[::-1], np.float32)  # against another picture, all moves
        magnitude = scale * at_most(magnitudes[number].astype(np.float32), ANALYSIS_PX)
        return without_head_motion(magnitude, small_parsing(number))

    def masks(is_backward: bool) -> Iterator[np.ndarray]:
        runs = person_runs(split.is_counted, split.ends if is_backward else [n_frames])
        for start, stop in runs[::-1] if is_backward else runs:
            order = range(start, stop)[:: -1 if is_backward else 1]
            if not split.is_counted[start]:
                yield from (np.zeros(size[::-1], np.float32) for _ in order)
                continue
            shown = (at_most(frames[number], ANALYSIS_PX) for number in order)
            seen = (_seen(small_parsing(number), options.use_hands) for number in order)
            moved = backward(motions[start:stop]) if is_backward else motions[start:stop]
            decay = make_decay(options, size[1], fps, shown, seen, moved)
            yield from accumulate(map(motion, order), flow_threshold_px, decay)

    with (
        TemporaryDirectory(dir=Path(transient_mask_path).parent) as folder,
        write_frames(transient_mask_path, n_frames, (height, width)) as writer,
    ):
        is_both = options.direction == "both"
        later = kept_backwards(masks(True), folder, n_frames, size) if is_both else None
        for number, mask in enumerate(progress(masks(False), "accumulating", n_frames)):
            if later is not None:
                mask = np.maximum(mask, later[n_frames - 1 - number] / np.float32(255))
            mask = cv2.resize(mask, (width, height), interpolation=cv2.INTER_LINEAR)
            transient = restrict_to_transients(mask, parsing[number], options.use_hands)
            writer.append(_to_bytes(transient))


def kept_backwards(
    masks: Iterator[np.ndarray], folder: str, n_frames: int, size: tuple[int, int]
) -> FrameStore:
    """Masks of the clip played backward, last frame first, in a file: they do not fit in memory."""
    path = Path(folder) / "backward.zarr.zip"
    with write_frames(path, n_frames, size[::-1]) as writer:
        for mask in progress(masks, "accumulating backward", n_frames):
            writer.append(_to_bytes(mask))
    return FrameStore(path)


def person_runs(is_counted: np.ndarray, ends: Sequence[int]) -> list[tuple[int, int]]:
    """The clip cut into half-open ranges, at ``ends`` and where frames begin or cease to count."""
    changes = np.flatnonzero(np.diff(is_counted)) + 1
    edges = sorted({0, *changes.tolist(), *ends})
    return list(pairwise(edges))


def make_decay(
    options: MaskOptions,
    height: int,
    fps: float,
    frames: Iterator[np.ndarray],
    parsings: Iterator[np.ndarray],
    motions: list[RigidMotion],
) -> Decay:
    """δ of Eq. 4 that the config section ``occlusion`` names."""
    if options.decay == "constant":
        # The config's factor is per frame at 25 fps.
        return constant_decay(options.constant_decay ** (25.0 / fps))
    half_lives = HalfLives(
        threshold_px(options.still_flow, height, fps),
        threshold_px(options.stirring_flow, height, fps),
        options.rest_half_life_seconds * fps,
        options.stir_half_life_seconds * fps,
        options.return_half_life_seconds * fps,
    )
    if options.decay == "adaptive":
        return adaptive_decay(half_lives)
    return RestMemory(frames, parsings, motions, half_lives, options.use_hands)


def load_motions(rigid_motion_path: str) -> list[RigidMotion]:
    """Rigid motion of each frame, as estimate_flow wrote it."""
    arrays = load_arrays(rigid_motion_path, "background", "head", "torso")
    parts = (arrays["background"], arrays["head"], arrays["torso"])
    return [RigidMotion(*models) for models in zip(*parts, strict=True)]


def backward(motions: list[RigidMotion]) -> list[RigidMotion]:
    """Rigid motions of the clip played backward; the first is not used."""
    return [motions[0], *(motion.reversed() for motion in motions[:0:-1])]


def _seen(parsing: np.ndarray, use_hands: bool) -> np.ndarray:
    return parsing if use_hands else without_hands(parsing)


def _to_bytes(mask: np.ndarray) -> np.ndarray:
    return np.rint(255.0 * mask).astype(np.uint8)


if __name__ == "__main__":
    with job(snakemake):
        call(main, snakemake, options=MaskOptions(**snakemake.params.options))
