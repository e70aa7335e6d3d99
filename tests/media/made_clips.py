"""Tiny clips whose pictures and sounds tell their own time."""

import subprocess
from pathlib import Path

import imageio_ffmpeg
import numpy as np

FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()


def run_ffmpeg(*arguments: object) -> None:
    subprocess.run([FFMPEG, "-y", "-v", "error", "-nostdin", *map(str, arguments)], check=True)


def brightness_ramp(
    path: Path, fps: str, seconds: float, size: str = "160x160", *more: str
) -> Path:
    """Frame k has the grey level 16 + 3 k: a picture tells its own number (k < 80)."""
    source = f"color=black:size={size}:rate={fps}:duration={seconds},format=gray,geq=lum='16+3*N'"
    codec = "libvpx-vp9" if path.suffix == ".webm" else "libx264"
    run_ffmpeg("-f", "lavfi", "-i", source, "-pix_fmt", "yuv444p", "-c:v", codec, "-crf", "1",
               *more, path)  # fmt: skip
    return path


def frame_number(image: np.ndarray) -> int:
    """Inverse of the ramp."""
    return round((float(image[8:-8, 8:-8].mean()) - 16.0) / 3.0)


def face_picture(size_px: int = 512) -> np.ndarray:
    """A real face, [size, size, 3] uint8: the astronaut of scikit-image, public domain."""
    import cv2
    from skimage.data import astronaut

    return cv2.resize(astronaut(), (size_px, size_px), interpolation=cv2.INTER_AREA)
