"""A finished video of a method outside → the place where all methods' videos are scored."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from wildtalker_core.errors import InputError
from wildtalker_core.media.files import load_arrays, load_json, save_json
from wildtalker_core.media.image import resize_image
from wildtalker_core.media.options import CodecOptions
from wildtalker_core.media.video import read_video, sample_frames
from wildtalker_core.media.video_writer import VideoWriter
from workflow_scripts.frame_sound import sound_of_frames
from workflow_scripts.job import call, job
from workflow_scripts.settings import is_driven

#: Of the grid on which a video's own time stamps are read.
_TICKS_PER_SECOND = 1000
#: Time stamps may be rounded to milliseconds, which must not decide between two frames.
_TIE = 0.001


@dataclass(frozen=True)
class Length:
    """How long a video is by its own time stamps, and at which mean rate."""

    seconds: float
    n_frames: int

    @property
    def fps(self) -> float:
        return self.n_frames / self.seconds

    def __str__(self) -> str:
        return f"{self.seconds:.2f} s ({self.n_frames} frames at {self.fps:.5g} fps)"


def measure_length(path: str) -> Length:
    """Length from the first frame to the end of the last, of any rate, variable ones included.

    ASSUME: the last frame is shown at least as long as the middle one of all: files of variable
    rate often do not say how long it lasts, or say one tick.
    """
    times, n_ticks = [], 0
    for frame in sample_frames(path, _TICKS_PER_SECOND):
        times.append(frame.time_seconds)
        n_ticks = frame.outputs.stop
    usual = float(np.median(np.diff(times))) if len(times) > 1 else 0.0
    return Length(max(n_ticks / _TICKS_PER_SECOND, times[-1] + usual), len(times))


def frames_shown(found: Length, choices: dict[str, np.ndarray], fps: float, path: str) -> str:
    """Which of ``choices`` (name -> frame numbers shown one after the other) a video shows.

    It must end within half a frame, of the slower of both rates, of where one of them ends.

    Raises InputError, naming both lengths and rates, if none fits.
    """
    half_frame = 0.5 / min(fps, found.fps) + 2 / _TICKS_PER_SECOND
    for name, frames in choices.items():
        if abs(found.seconds - len(frames) / fps) <= half_frame:
            return name
    wanted = " or ".join(
        f"{name}, {Length(len(frames) / fps, len(frames))}" for name, frames in choices.items()
    )
    raise InputError(path, f"lasts {found}, neither more nor less than {wanted}, is wanted",
                     "render exactly that, at any rate")  # fmt: skip


def pictures_by_time(path: str, n_frames: int, fps: float) -> Iterator[np.ndarray]:
    """What a player shows in the middle of each of ``n_frames`` at ``fps``, one at a time."""
    held, n_given = None, 0
    for picture, seconds in read_video(path):
        while held is not None and n_given < n_frames and (n_given + 0.5) / fps < seconds + _TIE:
            n_given += 1
            yield held
        held = picture
    if held is not None:
        yield from (held for _ in range(n_frames - n_given))


def split_choices(scene: dict[str, np.ndarray], n_frames: int) -> dict[str, np.ndarray]:
    """What a finished video of the clip's own speech may show: frame numbers by name.

    The test split runs to the clip's end; where frames in which the person is not in view were left
    out of it, a video without those is as good.
    """
    test_frames = scene["test_frames"]
    return {
        "the whole clip": np.arange(n_frames),
        "its test split": np.arange(test_frames.min(), n_frames),
    } | ({"its counted test frames": test_frames} if not scene["is_counted"].all() else {})


def main(
    external_path: str,
    scene_path: str,
    manifest_path: str,
    driving_features_path: str,
    speech_path: str,
    setting: str,
    video_path: str,
    facts_path: str,
    options: CodecOptions,
) -> None:
    """Write the frames that are scored, taken by time, at the clip's size, with the driving sound.

    Raises InputError: absent; not square; neither the whole clip nor the test split (or, for other
    speech, not as long as that).
    """
    manifest = load_json(manifest_path)
    size_px, fps = manifest["size_px"], float(manifest["fps"])
    if is_driven(setting):
        driving = load_arrays(driving_features_path, "audio_features")
        scored = np.arange(len(driving["audio_features"]))
        choices = {"the driving speech": scored}
    else:
        scene = load_arrays(scene_path, "test_frames", "frame_times_seconds", "is_counted")
        scored = scene["test_frames"]
        choices = split_choices(scene, len(scene["frame_times_seconds"]))
    found = measure_length(external_path)
    shown = choices[frames_shown(found, choices, fps, external_path)]
    is_scored = np.isin(shown, scored)
    with (
        sound_of_frames(speech_path, scored, fps) as sound_path,
        VideoWriter(video_path, fps, sound_path, **vars(options)) as video,
    ):
        for wanted, picture in zip(
            is_scored, pictures_by_time(external_path, len(shown), fps), strict=True
        ):
            if wanted:
                require_square(external_path, picture)
                video.append(resize_image(picture, size_px))
    facts: dict[str, Any] = {
        "kind": "external",
        "mode": "portrait",
        "seconds_per_frame": None,
        "device": None,
    }
    if not is_driven(setting):
        facts["frames"] = scored.tolist()
    save_json(facts_path, facts)


def require_square(path: str, picture: np.ndarray) -> None:
    height, width = picture.shape[:2]
    if height != width:
        raise InputError(
            path,
            f"is {width}x{height} pixels, the clip's frames are square",
            "crop it as the clip was cropped, see media/manifest.json",
        )


if __name__ == "__main__":
    with job(snakemake):
        call(main, snakemake, options=CodecOptions(**snakemake.params.options))
