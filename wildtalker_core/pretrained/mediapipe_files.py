"""Where MediaPipe 0.10.21's networks are: in its installed package, or in its fetched wheel."""

from __future__ import annotations

import importlib.util
import zipfile
from pathlib import Path

from wildtalker_core.errors import InputError
from wildtalker_core.media.files import AnyPath

#: Under ``weights/``, as the registry knows it.
WHEEL = "mediapipe-0.10.21.whl"


def is_installed() -> bool:
    """Whether MediaPipe's package is there with its networks; later releases have none."""
    return _folder() is not None


def wheel_needed() -> list[str]:
    """The wheel's path, relative to the working directory, where the package is not installed."""
    return [] if is_installed() else [f"weights/{WHEEL}"]


def network_content(name: str) -> bytes:
    """A network's file. ``name``: below ``mediapipe/modules``, without ``.tflite``.

    Raises:
        InputError: neither the package nor its wheel is there.
    """
    member = f"modules/{name}.tflite"
    if folder := _folder():
        return (folder / member).read_bytes()
    (path,) = wheel_needed()
    if not Path(path).is_file():
        raise InputError(
            path,
            "does not exist, and the package mediapipe is not installed",
            f"fetch it: snakemake --cores 1 {path}",
        )
    with zipfile.ZipFile(path) as wheel:
        return wheel.read(f"mediapipe/{member}")


def _folder() -> Path | None:
    spec = importlib.util.find_spec("mediapipe")
    if spec is None or spec.origin is None:
        return None
    folder = Path(spec.origin).parent
    return folder if (folder / "modules/face_landmark").is_dir() else None


def absent_task(task_path: AnyPath) -> InputError:
    return InputError(
        task_path,
        "does not exist",
        "fetch face_landmarker.task or leave pose.face_landmarker_path empty",
    )


def not_a_task(task_path: AnyPath, error: Exception) -> InputError:
    return InputError(
        task_path,
        f"is not a FaceLandmarker task ({error})",
        "fetch face_landmarker.task or leave pose.face_landmarker_path empty",
    )


if __name__ == "__main__":  # for the Makefile: what the tests need where there is no package
    from wildtalker_core.pretrained.weight_fetching import fetch
    from wildtalker_core.pretrained.weight_registry import REGISTRY

    for needed in wheel_needed():
        fetch(REGISTRY[WHEEL], needed)
