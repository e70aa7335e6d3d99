"""Sound: any file's sound at one rate and one time zero, waveforms in and out."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import ffmpeg
import imageio_ffmpeg
import numpy as np
import soundfile

from wildtalker_core.errors import InputError
from wildtalker_core.media.files import atomic_path

# ASSUME: below this no microphone records speech; a muted track is what it is.
SILENCE_DBFS = -60.0


def decode_sound(
    path: str | os.PathLike[str],
    sample_rate_hz: int,
    zero_seconds: float | None = None,
    duration_seconds: float | None = None,
) -> np.ndarray:
    """The first audio stream of any file that ffmpeg reads, mono: [samples] float32 in [-1, 1].

    Args:
        sample_rate_hz: rate of the result.
        zero_seconds: instant of sample 0 on the container's clock (see
            ``video.first_frame_seconds``): what comes earlier is cut, a later start is padded with
            silence. None: the sound's own start.
        duration_seconds: the result is cut or padded to round(duration * rate) samples; None keeps
            the sound's own length.

    Raises InputError: absent, unreadable, no audio stream, nothing in it, NaN or infinite samples.
    """
    path = Path(path)
    _require_sound(path)
    sound = ffmpeg.input(str(path), copyts=None)["a:0"]
    if zero_seconds is None:
        sound = sound.filter("asetpts", "PTS-STARTPTS")
    else:
        sound = sound.filter("asetpts", f"PTS-({zero_seconds!r})/TB")
    # first_pts pads or trims to time zero; async fills holes in the track by silence; channels are
    # mixed by weights that sum to one, or two equal ones would clip.
    sound = sound.filter(
        "aresample",
        sample_rate_hz,
        **{"async": 1, "first_pts": 0, "ochl": "mono", "rematrix_maxval": 1},
    )
    options = {"format": "f32le", "acodec": "pcm_f32le", "ac": 1, "ar": sample_rate_hz}
    if duration_seconds is not None:
        options["t"] = duration_seconds
    command = (
        ffmpeg.output(sound, "pipe:", **options)
        .global_args("-loglevel", "error", "-nostdin", "-xerror")
        .compile(cmd=imageio_ffmpeg.get_ffmpeg_exe())
    )
    result = subprocess.run(command, capture_output=True, check=False)
    words = result.stderr.decode(errors="replace").strip()
    if result.returncode != 0:
        reason = words.splitlines()[-1] if words else f"status {result.returncode}"
        raise InputError(path, f"has sound that cannot be decoded ({reason})", "export it again")
    waveform = np.frombuffer(result.stdout, "<f4").copy()
    if waveform.size == 0:
        raise InputError(path, "has an empty audio stream", "record or mux a voice track")
    require_finite(waveform, path)
    if duration_seconds is not None:
        n_samples = round(duration_seconds * sample_rate_hz)
        waveform = np.pad(waveform[:n_samples], (0, max(0, n_samples - waveform.size)))
    return waveform


def _require_sound(path: Path) -> None:
    if not path.is_file():
        raise InputError(path, "does not exist", "correct the path in the config")
    try:
        with av.open(str(path)) as container:
            has_sound = bool(container.streams.audio)
    except av.error.FFmpegError as error:
        problem = f"is not a readable sound or video file ({error.strerror or error})"
        raise InputError(path, problem, "export it again, for example as wav") from error
    if not has_sound:
        raise InputError(path, "has no audio stream", "record or mux a voice track")


def require_finite(waveform: np.ndarray, path: str | os.PathLike[str]) -> None:
    """Raise InputError naming the first sample that is NaN or infinite."""
    is_bad = ~np.isfinite(waveform)
    if is_bad.any():
        where = np.argwhere(is_bad)[0][0]
        raise InputError(
            path,
            f"has {int(is_bad.sum())} samples that are NaN or infinite, the first is {where}",
            "export the sound again as PCM",
        )


def require_audible(
    waveform: np.ndarray, sample_rate_hz: int, path: str | os.PathLike[str]
) -> None:
    """Raise InputError if even the loudest 50 ms lie below ``SILENCE_DBFS``."""
    n_window = max(1, sample_rate_hz // 20)
    padded = np.pad(waveform, (0, -waveform.size % n_window)).reshape(-1, n_window)
    loudest = float(np.sqrt(np.mean(np.square(padded, dtype=np.float64), axis=1)).max(initial=0.0))
    level_dbfs = 20.0 * np.log10(max(loudest, 1e-10))
    if level_dbfs < SILENCE_DBFS:
        raise InputError(
            path,
            f"is silent: its loudest moment is at {level_dbfs:.0f} dBFS",
            "give a recording in which the person is heard",
        )


def clipped_share(waveform: np.ndarray) -> float:
    """Share of samples beyond 90 % of full scale, where only a clipped recording lingers.

    ASSUME: 0.0005 and more is clipping. Lossy coding and resampling smear the flat tops of clipped
    waves, so runs of equal values cannot be counted; undistorted speech at full scale was measured
    at 0.00003 to 0.0001, clipped by 10 dB at 0.001 to 0.004.
    """
    return float((np.abs(waveform) > 0.9).mean())


@dataclass(frozen=True)
class SoundFacts:
    """sample_rate_hz; n_samples per channel; n_channels; subtype: ``PCM_16``, ``FLOAT``, ..."""

    sample_rate_hz: int
    n_samples: int
    n_channels: int
    subtype: str


def probe_waveform(path: str | os.PathLike[str]) -> SoundFacts:
    """Facts of a wav, flac or ogg. Raises InputError: absent, unreadable, empty."""
    path = Path(path)
    if not path.is_file():
        raise InputError(path, "does not exist", "correct the path or run the rule that makes it")
    try:
        facts = soundfile.info(str(path))
    except soundfile.LibsndfileError as error:
        raise InputError(
            path, f"is not a readable sound file ({error.error_string})", "export it as wav"
        ) from error
    if facts.frames == 0:
        raise InputError(path, "holds no samples", "record it again")
    return SoundFacts(facts.samplerate, facts.frames, facts.channels, facts.subtype)


def read_waveform(path: str | os.PathLike[str]) -> tuple[np.ndarray, int]:
    """Read a wav, flac or ogg: ([samples] or [samples, channels] float32 in [-1, 1], rate in Hz).

    Raises InputError: absent, unreadable, empty, NaN or infinite samples.
    """
    sample_rate_hz = probe_waveform(path).sample_rate_hz
    waveform, _ = soundfile.read(path, dtype="float32")
    require_finite(waveform, path)
    return waveform, sample_rate_hz


def read_waveform_blocks(
    path: str | os.PathLike[str], n_samples: int = 1 << 20
) -> Iterator[np.ndarray]:
    """The same in consecutive parts of ``n_samples``, for recordings of any length."""
    probe_waveform(path)
    for block in soundfile.blocks(path, blocksize=n_samples, dtype="float32"):
        require_finite(block, path)
        yield block


def write_waveform(
    path: str | os.PathLike[str],
    waveform: np.ndarray,
    sample_rate_hz: int,
    subtype: str = "PCM_16",
) -> None:
    """Write [samples] or [samples, channels] in [-1, 1] as wav or flac (by suffix), atomically.

    Values outside [-1, 1] are clipped by PCM subtypes and kept by ``FLOAT``. NaN is refused.
    """
    if not np.isfinite(waveform).all():
        raise ValueError(f"{path}: the waveform holds NaN or infinite samples")
    with atomic_path(path) as partial:
        soundfile.write(partial, waveform, sample_rate_hz, subtype=subtype)


def write_waveform_blocks(
    path: str | os.PathLike[str],
    blocks: Iterable[np.ndarray],
    sample_rate_hz: int,
    n_channels: int,
    subtype: str = "PCM_16",
) -> None:
    """Write consecutive parts [samples] or [samples, channels] as one wav or flac, atomically."""
    with (
        atomic_path(path) as partial,
        soundfile.SoundFile(partial, "w", sample_rate_hz, n_channels, subtype) as file,
    ):
        for block in blocks:
            if not np.isfinite(block).all():
                raise ValueError(f"{path}: the waveform holds NaN or infinite samples")
            file.write(block)


def cut_to_frames(
    waveform: np.ndarray, sample_rate_hz: int, frames: np.ndarray, fps: float
) -> np.ndarray:
    """Samples that sound while ``frames`` are shown one by one; silence beyond the end."""
    edges = np.round(np.stack((frames, frames + 1)) / fps * sample_rate_hz).astype(np.int64)
    padded = np.pad(waveform, (0, max(0, int(edges.max()) - len(waveform))))
    return np.concatenate([padded[a:b] for a, b in edges.T])
