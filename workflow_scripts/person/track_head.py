"""Landmarks -> the person's rigid template, the focal length and a coarse head pose per frame."""

from wildtalker_core.media.files import load_arrays, load_json, save_arrays
from wildtalker_core.media.splits import load_split
from wildtalker_core.person import head_pose
from wildtalker_core.person.options import FocalLengthOptions
from workflow_scripts.job import call, job


def main(
    landmarks_path: str,
    manifest_path: str,
    split_path: str,
    head_track_path: str,
    options: FocalLengthOptions,
) -> None:
    """Write ``head_track.npz``."""
    track = load_arrays(landmarks_path, "landmarks", "depth", "is_interpolated")
    size_px = load_json(manifest_path)["size_px"]
    head = head_pose.track_head(
        track["landmarks"],
        track["depth"],
        size_px,
        size_px,
        options,
        load_split(split_path).is_fitted & ~track["is_interpolated"],
    )
    print(f"focal length {head.focal_length / size_px:.2f} frame widths")
    save_arrays(
        head_track_path,
        T_camera_head=head.T_camera_head,
        focal_length=head.focal_length,
        template=head.template,
    )


if __name__ == "__main__":
    with job(snakemake):
        call(main, snakemake, options=FocalLengthOptions(**snakemake.params.options))
