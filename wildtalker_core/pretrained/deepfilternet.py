"""DeepFilterNet 3 (Schröter et al. 2023) as published, through onnxruntime: a trained denoiser.

The signal processing around the network (Vorbis window, equal-rectangular bands, running means)
is the one that the network was trained behind, at 48 kHz; other rates are resampled.
"""

from __future__ import annotations

import math
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy.signal import lfilter, resample_poly

from wildtalker_core.errors import InputError
from wildtalker_core.media.files import AnyPath
from wildtalker_core.pretrained.optional import import_optional

_RATE_HZ, _N_FFT, _HOP = 48000, 960, 480
_N_BANDS, _N_FILTERED, _LEAST_BINS = 32, 96, 2
#: Taps of the filter in time and frames that network and filter look ahead.
_ORDER, _AHEAD = 5, 2
_MEMORY = 0.99  # of running means from a frame of 10 ms to the next: a time constant of a second
_NETWORKS = ("enc", "erb_dec", "df_dec")


def _member(archive: tarfile.TarFile, name: str) -> bytes:
    file = archive.extractfile(name)
    if file is None:
        raise KeyError(f"{name} is no file")
    return file.read()


def load_deepfilternet(path: AnyPath) -> Callable[[np.ndarray, int], np.ndarray]:
    """The network of ``DeepFilterNet3_onnx.tar.gz``: (rows [..., samples], rate) -> rows denoised.

    Raises InputError: absent, not that archive.
    """
    onnxruntime = import_optional("onnxruntime", "speech.denoiser: deepfilternet", "hear")
    if not Path(path).is_file():
        raise InputError(path, "does not exist", "correct config speech.deepfilternet_model")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = int(os.environ.get("OMP_NUM_THREADS", "1"))
    options.inter_op_num_threads = 1
    try:
        with tarfile.open(path) as archive:
            members = {Path(name).stem: name for name in archive.getnames()}
            sessions = {
                name: onnxruntime.InferenceSession(
                    _member(archive, members[name]), options,
                    providers=["CPUExecutionProvider"],
                )
                for name in _NETWORKS
            }  # fmt: skip
    except (tarfile.TarError, KeyError) as error:
        raise InputError(
            path, f"does not hold DeepFilterNet 3 ({error})", "fetch it again"
        ) from error

    def denoise(rows: np.ndarray, sample_rate_hz: int) -> np.ndarray:
        flat = rows.reshape(-1, rows.shape[-1])
        done = [_at_rate(row, sample_rate_hz, lambda x: _enhance(x, sessions)) for row in flat]
        return np.stack(done).reshape(rows.shape).astype(rows.dtype)

    return denoise


def band_widths() -> np.ndarray:
    """Bins of each of the 32 bands [32]: equal steps of the ERB scale, two bins at least."""

    def to_hz(erb: float) -> float:
        return 24.7 * 9.265 * math.expm1(erb / 9.265)

    step = 9.265 * math.log1p(_RATE_HZ / 2 / (24.7 * 9.265)) / _N_BANDS
    widths, last, owed = [], 0, 0
    for band in range(1, _N_BANDS + 1):
        edge = round(to_hz(band * step) * _N_FFT / _RATE_HZ)
        width = edge - last - owed
        owed = max(0, _LEAST_BINS - width)
        widths.append(max(width, _LEAST_BINS))
        last = edge
    widths[-1] += _N_FFT // 2 + 1 - sum(widths)
    return np.array(widths)


def _at_rate(
    row: np.ndarray, sample_rate_hz: int, denoise: Callable[[np.ndarray], np.ndarray]
) -> np.ndarray:
    if sample_rate_hz == _RATE_HZ:
        return denoise(row)
    common = math.gcd(_RATE_HZ, sample_rate_hz)
    up, down = _RATE_HZ // common, sample_rate_hz // common
    clean = resample_poly(denoise(resample_poly(row, up, down)), down, up)
    return np.pad(clean, (0, max(0, len(row) - len(clean))))[: len(row)]


def _enhance(samples: np.ndarray, sessions: dict) -> np.ndarray:
    """[samples] at 48 kHz, denoised."""
    n_frames = -(-len(samples) // _HOP) + 1
    window = np.sin(np.pi / 2 * np.sin(np.pi * (np.arange(_N_FFT) + 0.5) / _N_FFT) ** 2)
    padded = np.pad(samples, (_HOP, (n_frames + 1) * _HOP - _HOP - len(samples)))
    views = np.lib.stride_tricks.sliding_window_view(padded, _N_FFT)[::_HOP]
    spectra = np.fft.rfft(views * window) / _N_FFT  # [frames, 481]
    clean = _filtered(spectra, *_ask(spectra, sessions))
    pieces = np.fft.irfft(clean * _N_FFT) * window
    joined = np.zeros_like(padded)
    joined[: n_frames * _HOP] += pieces[:, :_HOP].reshape(-1)
    joined[_HOP:] += pieces[:, _HOP:].reshape(-1)
    return joined[_HOP : _HOP + len(samples)]


def _ask(spectra: np.ndarray, sessions: dict) -> tuple[np.ndarray, np.ndarray]:
    """Band gains [frames, 32] and filter taps [frames, 96, 5] of spectra [frames, 481]."""
    firsts = np.concatenate(([0], np.cumsum(band_widths())[:-1]))
    powers = np.add.reduceat(np.abs(spectra) ** 2, firsts, axis=1) / band_widths()
    levels = 10 * np.log10(powers + 1e-10)
    levels = (levels - _running_mean(levels, np.linspace(-60, -90, _N_BANDS))) / 40
    low = spectra[:, :_N_FILTERED]
    low = low / np.sqrt(_running_mean(np.abs(low), np.linspace(1e-3, 1e-4, _N_FILTERED)))

    def ahead(values: np.ndarray) -> np.ndarray:
        return np.pad(values[_AHEAD:], ((0, _AHEAD), (0, 0)))[None].astype(np.float32)

    feed = {
        "feat_erb": ahead(levels)[:, None],
        "feat_spec": np.stack((ahead(low.real), ahead(low.imag)), 1),
    }
    names = [output.name for output in sessions["enc"].get_outputs()]
    found = dict(zip(names, sessions["enc"].run(None, feed), strict=True))

    def decode(name: str, output: str) -> np.ndarray:
        wanted = {entry.name: found[entry.name] for entry in sessions[name].get_inputs()}
        return sessions[name].run([output], wanted)[0]

    taps = decode("df_dec", "coefs")[0].reshape(len(spectra), _N_FILTERED, _ORDER, 2)
    return decode("erb_dec", "m")[0, 0], taps[..., 0] + 1j * taps[..., 1]


def _running_mean(values: np.ndarray, start: np.ndarray) -> np.ndarray:
    """Exponential mean [frames, k] of what came until each frame, that one included."""
    mean, _ = lfilter(
        [1 - _MEMORY], [1, -_MEMORY], values, axis=0, zi=_MEMORY * start[None].astype(float)
    )
    return mean


def _filtered(spectra: np.ndarray, gains: np.ndarray, taps: np.ndarray) -> np.ndarray:
    """High bins times their band's gain; low ones filtered over five frames around."""
    clean = spectra * np.repeat(gains, band_widths(), axis=1)
    before = _ORDER - 1 - _AHEAD
    around = np.pad(spectra[:, :_N_FILTERED], ((before, _AHEAD), (0, 0)))
    clean[:, :_N_FILTERED] = sum(taps[..., k] * around[k : k + len(spectra)] for k in range(_ORDER))
    return clean
