"""Coarse head poses -> poses that are steady over time (the Head-Sync Stabilizer)."""

from wildtalker_core.errors import InputError
from wildtalker_core.media.files import load_arrays, save_arrays
from wildtalker_core.media.frame_store import FrameStore
from wildtalker_core.media.splits import load_split
from wildtalker_core.person import head_pose
from wildtalker_core.pose.options import StabilizerOptions
from wildtalker_core.pose.skin_tracks import follow_skin
from wildtalker_core.pose.stabilizer import bundle_adjust, smooth_poses
from wildtalker_core.progress import progress
from workflow_scripts.job import call, job


def main(
    frames_path: str,
    landmarks_path: str,
    head_track_path: str,
    transient_mask_path: str,
    split_path: str,
    head_pose_path: str,
    options: StabilizerOptions,
) -> None:
    """Write ``head_pose.npz``."""
    frames, split = FrameStore(frames_path), load_split(split_path)
    height, width = frames.shape[1:3]
    arrays = load_arrays(head_track_path, "T_camera_head", "focal_length", "template")
    coarse = head_pose.HeadTrack(
        arrays["T_camera_head"], float(arrays["focal_length"]), arrays["template"]
    )
    if options.stabilizer == "bundle_adjustment":
        landmarks = load_arrays(landmarks_path, "landmarks", "is_interpolated")
        tracks = follow_skin(
            frames,
            FrameStore(transient_mask_path),
            landmarks["landmarks"],
            coarse,
            ~landmarks["is_interpolated"] & split.is_counted,
            split.is_fitted,
            progress(range(len(frames)), "skin tracks", len(frames)),
            options,
        )
        if not tracks.is_seen[: split.ends[0]].any():
            raise InputError(
                frames_path,
                "shows no skin that could be followed (all blurred or behind the transient mask)",
                "set pose.stabilizer to savgol",
            )
        share_seen = tracks.is_seen.sum() / max(1, tracks.is_point[tracks.reference_of].sum())
        print(f"{len(tracks.points_head)} reference frames, {share_seen:.0%} of points matched")
        stable = bundle_adjust(coarse, tracks, landmarks["landmarks"], height, width, split)
    elif options.stabilizer == "savgol":
        stable = smooth_poses(coarse, options.pose_window_frames, split)
    else:
        stable = coarse
    jitters = [head_pose.jitter_px(track, height, width) for track in (coarse, stable)]
    print(f"{options.stabilizer}: jitter {jitters[0]:.3f} -> {jitters[1]:.3f} px at 512")
    save_arrays(
        head_pose_path,
        T_camera_head=stable.T_camera_head,
        focal_length=stable.focal_length,
        template=stable.template,
        jitter_px=jitters[1],
        coarse_jitter_px=jitters[0],
        stabilizer=options.stabilizer,
    )


if __name__ == "__main__":
    with job(snakemake):
        call(main, snakemake, options=StabilizerOptions(**snakemake.params.options))
