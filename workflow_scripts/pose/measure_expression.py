"""Landmarks (or a FaceLandmarker file) -> seven expression values per frame."""

from wildtalker_core.errors import InputError
from wildtalker_core.media.files import load_arrays, save_arrays
from wildtalker_core.media.frame_store import FrameStore
from wildtalker_core.media.splits import load_split
from wildtalker_core.pose import expression
from wildtalker_core.pretrained.mediapipe_models import BlendshapeModel
from wildtalker_core.progress import progress
from workflow_scripts.job import call, job


def main(
    frames_path: str,
    landmarks_path: str,
    head_track_path: str,
    split_path: str,
    expression_path: str,
    face_landmarker_path: str | None,
) -> None:
    """Write ``expression.npz``; without a FaceLandmarker file the geometric backend measures."""
    split = load_split(split_path)
    if face_landmarker_path:
        frames = FrameStore(frames_path)
        with BlendshapeModel(face_landmarker_path) as model:
            scores = [model(frame) for frame in progress(frames, "expression", len(frames))]
        if not any(scores[: split.ends[0]]):
            raise InputError(
                frames_path,
                "the FaceLandmarker sees no face in any frame that is trained on",
                "leave pose.face_landmarker_path empty to measure the landmarks instead",
            )
        values, backend = expression.select_blendshapes(scores, split), "face_landmarker"
    else:
        track = load_arrays(landmarks_path, "landmarks", "depth", "is_interpolated")
        head = load_arrays(head_track_path, "T_camera_head")
        values = expression.measure_expression(
            track["landmarks"],
            track["depth"],
            head["T_camera_head"],
            split.is_fitted & ~track["is_interpolated"],
        )
        backend = "geometric"
    for name, column in zip(expression.EXPRESSION_NAMES, values.T, strict=True):
        print(f"{name}: mean {column.mean():.2f}, highest {column.max():.2f}")
    save_arrays(expression_path, expression=values, backend=backend)


if __name__ == "__main__":
    with job(snakemake):
        call(main, snakemake, **snakemake.params.options)
