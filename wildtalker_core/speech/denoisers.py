"""The denoisers by the names that the config gives them, on whole and on endless recordings."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from wildtalker_core.errors import InputError
from wildtalker_core.media.files import AnyPath
from wildtalker_core.speech.adaptive_subtraction import ADAPTIVE_SCALES, denoise_adaptive
from wildtalker_core.speech.log_mmse import denoise_log_mmse
from wildtalker_core.speech.options import DenoiserOptions
from wildtalker_core.speech.spectral_subtraction import Scale, denoise, scales_from_config

# ASSUME: Boll (1979) has windows of 25.6 ms with half overlap; 32 ms with a quarter hop is the same
# resolution in powers of two.
_BOLL_SCALE = Scale(512, 128, 512)

# Scales are given for this rate and stretched to others, so that they last as long.
_SCALES_RATE_HZ = 16000

# ASSUME: what lies further away than this does not change a sample audibly (a test bounds it).
_CONTEXT_SECONDS, _BLOCK_SECONDS = 4.0, 30.0


@dataclass(frozen=True)
class Denoiser:
    """``denoiser(waveform, sample_rate_hz)``: [samples] or [samples, channels] → the same shape.

    apply: works on [..., samples]. leading_seconds: how much of the recording's beginning it
    learns the noise from; 0 if it learns everywhere.
    """

    apply: Callable[[np.ndarray, int], np.ndarray]
    leading_seconds: float = 0.0

    def __call__(self, waveform: np.ndarray, sample_rate_hz: int) -> np.ndarray:
        return self.apply(waveform.T, sample_rate_hz).T


def make_denoiser(name: str, options: DenoiserOptions) -> Denoiser:
    """The denoiser ``name``.

    Raises InputError: unknown name, impossible scales.
    """
    makers = {
        "none": lambda: Denoiser(lambda rows, rate_hz: rows),
        "mss": lambda: _subtraction(scales_from_config(options.scales), options),
        "mss_adaptive": lambda: Denoiser(
            lambda rows, rate_hz: denoise_adaptive(
                rows, rate_hz, stretched(ADAPTIVE_SCALES, rate_hz)
            )
        ),
        "spectral_subtraction": lambda: _subtraction([_BOLL_SCALE], options),
        "log_mmse": lambda: _log_mmse(options.leading_seconds),
        "noisereduce": lambda: Denoiser(lambda rows, rate_hz: _noisereduce(rows, rate_hz, True)),
        "noisereduce_nonstationary": lambda: Denoiser(
            lambda rows, rate_hz: _noisereduce(rows, rate_hz, False)
        ),
    }
    if name not in makers:
        raise InputError(
            f"config speech.denoiser: {name}", "is unknown", f"use one of {', '.join(makers)}"
        )
    return makers[name]()


def _subtraction(scales: Iterable[Scale], options: DenoiserOptions) -> Denoiser:
    alpha, leading = options.over_subtraction, options.leading_seconds
    return Denoiser(
        lambda rows, rate_hz: denoise(rows, rate_hz, stretched(scales, rate_hz), alpha, leading),
        leading,
    )


def _log_mmse(leading_seconds: float) -> Denoiser:
    return Denoiser(
        lambda rows, rate_hz: denoise_log_mmse(
            rows, rate_hz, stretched([_BOLL_SCALE], rate_hz)[0], leading_seconds
        ),
        leading_seconds,
    )


def stretched(scales: Iterable[Scale], sample_rate_hz: int) -> tuple[Scale, ...]:
    """Scales for 16 kHz made as long in seconds at another rate (even numbers of samples)."""

    def stretch(n: int) -> int:
        return (
            n
            if sample_rate_hz == _SCALES_RATE_HZ
            else 4 * round(n * sample_rate_hz / _SCALES_RATE_HZ / 4)
        )

    return tuple(
        Scale(stretch(s.n_fft), max(1, stretch(s.hop_length)), stretch(s.win_length))
        for s in scales
    )


def denoise_stream(
    blocks: Iterable[np.ndarray],
    denoiser: Denoiser,
    sample_rate_hz: int,
    part_ends: Sequence[int] = (),
) -> Iterator[np.ndarray]:
    """Denoise a recording of any length piece by piece: as many samples out as in.

    Each piece of 30 s is denoised with 4 s of its neighbours on either side (and behind the
    beginning of the recording, for a denoiser that learns the noise there), so that the pieces
    join without a seam.

    Args:
        blocks: consecutive parts [samples] or [samples, channels], of any lengths.
        part_ends: sample numbers, increasing; what comes before one does not depend on what comes
            after it.
    """
    # Pieces begin where hops do, or each would be cut into other hops than the whole.
    n_grid = 16 * stretched([Scale(256, 64, 256)], sample_rate_hz)[0].hop_length
    n_block, n_context, n_leading = (
        n_grid * math.ceil(seconds * sample_rate_hz / n_grid)
        for seconds in (_BLOCK_SECONDS, _CONTEXT_SECONDS, 1.5 * denoiser.leading_seconds)
    )
    leading: np.ndarray | None = None
    past = pending = np.zeros(0)
    has_begun = False
    n_done = 0

    def denoised(n: int, n_known: int) -> np.ndarray:
        """The first ``n`` pending samples, from the first ``n_known`` and the past."""
        nonlocal leading, past, pending, n_done
        if leading is None:
            leading = pending[: min(n_leading, n_known)].copy()
        # Only a beginning that the past has lost must be put in front again.
        before = [past] if n_done == len(past) else [leading, past]
        n_before = sum(len(part) for part in before)
        around = np.concatenate([*before, pending[:n_known]])
        result = denoiser(around, sample_rate_hz)[n_before : n_before + n]
        past = np.concatenate([past, pending[:n]])[-n_context:]
        pending = pending[n:]
        n_done += n
        return result

    for block in blocks:
        pending = np.concatenate([pending, block]) if has_begun else block
        past, has_begun = past if has_begun else block[:0], True
        while True:
            left = next((end - n_done for end in part_ends if end > n_done), math.inf)
            if left <= min(len(pending), n_block + n_context):
                yield denoised(int(left), int(left))
            elif len(pending) >= n_block + n_context:
                yield denoised(n_block, n_block + n_context)
            else:
                break
    if len(pending):
        yield denoised(len(pending), len(pending))


def check_external(
    enhanced: np.ndarray,
    enhanced_rate_hz: int,
    noisy: np.ndarray,
    sample_rate_hz: int,
    path: AnyPath,
) -> np.ndarray:
    """The finished file of another method, cut or padded by at most 50 ms to the noisy length.

    Raises InputError: another rate, another number of channels, a length that differs by more.
    """
    if enhanced_rate_hz != sample_rate_hz or enhanced.shape[1:] != noisy.shape[1:]:
        raise InputError(
            path,
            f"is at {enhanced_rate_hz} Hz with shape {enhanced.shape}, the speech at "
            f"{sample_rate_hz} Hz with {noisy.shape}",
            "convert it",
        )
    # ASSUME: enhancers drop or add up to a window at the end; more means another recording.
    if abs(len(enhanced) - len(noisy)) > 0.05 * sample_rate_hz:
        raise InputError(
            path,
            f"has {len(enhanced)} samples, the speech {len(noisy)}",
            "give the whole recording",
        )
    result = np.zeros_like(noisy)
    n_both = min(len(enhanced), len(noisy))
    result[:n_both] = enhanced[:n_both]
    return result


def _noisereduce(rows: np.ndarray, sample_rate_hz: int, is_stationary: bool) -> np.ndarray:
    try:
        import noisereduce
    except ImportError:
        hint = 'pip install "wildtalker[denoise]"'
        raise InputError("noisereduce", "is not installed", hint) from None

    return noisereduce.reduce_noise(y=rows, sr=sample_rate_hz, stationary=is_stationary)
