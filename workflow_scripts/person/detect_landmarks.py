"""Frames -> 478 landmarks of the portrayed person in every frame."""

from wildtalker_core.media.files import load_json, save_arrays
from wildtalker_core.media.frame_store import FrameStore
from wildtalker_core.media.splits import load_split
from wildtalker_core.person.landmark_track import find_faces, track_landmarks
from wildtalker_core.person.options import LandmarkOptions
from wildtalker_core.pretrained.mediapipe_models import FaceMesh
from wildtalker_core.progress import progress
from workflow_scripts.job import call, job


def main(
    frames_path: str,
    manifest_path: str,
    split_path: str,
    landmarks_path: str,
    options: LandmarkOptions,
) -> None:
    """Write ``landmarks.npz``."""
    frames, manifest = FrameStore(frames_path), load_json(manifest_path)
    with FaceMesh(max_faces=options.max_faces) as model:
        faces = list(find_faces(progress(frames, "landmarks", len(frames)), model))
    track = track_landmarks(
        faces,
        frames.shape[1],
        frames.shape[2],
        manifest["fps"],
        options,
        load_split(split_path),
        subject=f"clip {manifest['clip']}",
    )
    n_missing = int(track.is_interpolated.sum())
    print(f"{len(frames)} frames, {n_missing} without the face")
    save_arrays(
        landmarks_path,
        landmarks=track.landmarks,
        depth=track.depth,
        is_interpolated=track.is_interpolated,
    )


if __name__ == "__main__":
    with job(snakemake):
        call(main, snakemake, options=LandmarkOptions(**snakemake.params.options))
