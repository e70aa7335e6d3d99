"""Windows of a speech encoder's output for each video frame, and what DeepSpeech 0.1.0 is fed.

Both kinds of encoders make a step every 20 ms: wav2vec 2.0 and its kin (HuBERT, XLS-R) hear 25 ms
of the waveform in a step, DeepSpeech a cepstrum of 25 ms with nine neighbours on either side. Step
k is centred at k * 20 ms + 12.5 ms; a frame's window are the 16 steps around the frame's middle.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from wildtalker_core.speech.audio_features import (
    N_STEPS,
    AudioFeatures,
    active_level_dbfs,
    frame_silence,
)
from wildtalker_core.speech.mfcc import N_CEPSTRA, mfcc

SAMPLE_RATE_HZ = 16000
HOP_SAMPLES, FIELD_SAMPLES = 320, 400  # of a step
N_CONTEXT = 9
N_INPUTS = N_CEPSTRA * (2 * N_CONTEXT + 1)  # 494
N_LOGITS = 29  # space, a to z, apostrophe, blank

# ASSUME: attention and recurrence reach far, but what is said five seconds away changes a step
# little. Pieces of ten seconds with that much context bound the memory for any length; a recording
# that fits into one piece with its context is run in one.
_PIECE_STEPS, _CONTEXT_STEPS = 500, 250

# Both sides of the recording are extended by silence, so that every window lies inside.
_MARGIN_STEPS = N_STEPS

# ASSUME: the level at which DeepSpeech hears speech, that of ITU-T P.56 test material.
_DEEPSPEECH_DBFS = -26.0


def waveform_features(
    waveform: np.ndarray,
    sample_rate_hz: int,
    n_frames: int,
    fps: float,
    encode: Callable[[np.ndarray], np.ndarray],
    level_dbfs: float | None = None,
) -> AudioFeatures:
    """Features of an encoder that hears waveforms (wav2vec 2.0, HuBERT, XLS-R).

    ASSUME: the active speech is brought to unit power. The encoders were trained on utterances of
    unit variance, pauses and all; leaving pauses out makes the level independent of how much of a
    long recording is silence, and costs a decibel on short ones.

    Args:
        waveform: [samples] at 16 kHz, starting with the first video frame.
        encode: [samples] → [steps, features], a step for each 320 samples of which 400 are there.
        level_dbfs: of the speech, ``active_level_dbfs``; None: that of the waveform.

    Returns:
        audio_features [n_frames, features, 16]. A piece of a long recording has the features that
        it has alone, but for what lies out of its context.
    """
    level_dbfs = _checked_level(waveform, sample_rate_hz, level_dbfs)
    gain = 10.0 ** (-level_dbfs / 20.0) if waveform.any() else 1.0
    padded = _padded(waveform * gain, n_frames, fps)
    n_steps = (padded.size - FIELD_SAMPLES) // HOP_SAMPLES + 1
    steps = in_pieces(
        n_steps,
        lambda first, last: encode(
            padded[first * HOP_SAMPLES : (last - 1) * HOP_SAMPLES + FIELD_SAMPLES]
        ),
    )
    return AudioFeatures(
        frame_windows(steps, n_frames, fps),
        frame_silence(waveform, sample_rate_hz, n_frames, fps, level_dbfs),
    )


def deepspeech_features(
    waveform: np.ndarray,
    sample_rate_hz: int,
    n_frames: int,
    fps: float,
    recognise: Callable[[np.ndarray], np.ndarray],
    level_dbfs: float | None = None,
) -> AudioFeatures:
    """Character logits of DeepSpeech 0.1.0.

    Args:
        waveform: [samples] at 16 kHz, starting with the first video frame.
        recognise: [steps, 494] (see :func:`deepspeech_inputs`) → logits [steps, 29].
        level_dbfs: as of :func:`waveform_features`.

    Returns:
        audio_features [n_frames, 29, 16].
    """
    level_dbfs = _checked_level(waveform, sample_rate_hz, level_dbfs)
    gain = 10.0 ** ((_DEEPSPEECH_DBFS - level_dbfs) / 20.0) if waveform.any() else 1.0
    inputs = deepspeech_inputs(_padded(waveform * gain, n_frames, fps))
    steps = in_pieces(len(inputs), lambda first, last: recognise(inputs[first:last]))
    return AudioFeatures(
        frame_windows(steps, n_frames, fps),
        frame_silence(waveform, sample_rate_hz, n_frames, fps, level_dbfs),
    )


def in_pieces(
    n_steps: int,
    run: Callable[[int, int], np.ndarray],
    piece_steps: int = _PIECE_STEPS,
    context_steps: int = _CONTEXT_STEPS,
) -> np.ndarray:
    """Steps [n_steps, features] of pieces run with context on either side.

    ``run(first, last)`` gives the steps first to last - 1, [last - first, features].
    """
    if n_steps <= piece_steps + 2 * context_steps:
        return run(0, n_steps)
    results = []
    for first in range(0, n_steps, piece_steps):
        last = min(first + piece_steps, n_steps)
        begin, end = max(0, first - context_steps), min(n_steps, last + context_steps)
        results.append(run(begin, end)[first - begin : last - begin])
    return np.concatenate(results)


def frame_windows(steps: np.ndarray, n_frames: int, fps: float) -> np.ndarray:
    """The 16 steps nearest to each frame's middle: [n_frames, features, 16] float32.

    steps: [steps, features] of the padded recording: the first ``_MARGIN_STEPS`` lie before it.
    """
    step_seconds = HOP_SAMPLES / SAMPLE_RATE_HZ
    first_centre = 0.5 * FIELD_SAMPLES / SAMPLE_RATE_HZ - _MARGIN_STEPS * step_seconds
    middles = (np.arange(n_frames) + 0.5) / fps
    # The window's middle lies between its eighth and ninth step.
    firsts = (middles - first_centre) / step_seconds - 0.5 * (N_STEPS - 1)
    at = np.round(firsts).astype(int)[:, None] + np.arange(N_STEPS)
    return np.ascontiguousarray(np.swapaxes(steps[at], 1, 2), dtype=np.float32)


def deepspeech_inputs(waveform: np.ndarray) -> np.ndarray:
    """What DeepSpeech 0.1.0 is fed for [samples] at 16 kHz: [steps, 494] float32.

    26 cepstra every 20 ms, nine neighbours on either side (zeros beyond the ends), the whole of
    zero mean and unit variance.
    """
    cepstra = np.pad(mfcc(waveform)[::2], ((N_CONTEXT, N_CONTEXT), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(cepstra, 2 * N_CONTEXT + 1, axis=0)
    inputs = np.swapaxes(windows, 1, 2).reshape(len(windows), -1)  # oldest neighbour first
    return ((inputs - inputs.mean()) / max(inputs.std(), 1e-12)).astype(np.float32)


def _checked_level(waveform: np.ndarray, sample_rate_hz: int, level_dbfs: float | None) -> float:
    if sample_rate_hz != SAMPLE_RATE_HZ:
        raise ValueError(f"encoders want {SAMPLE_RATE_HZ} Hz, got {sample_rate_hz}")
    return active_level_dbfs(waveform, sample_rate_hz) if level_dbfs is None else level_dbfs


def _padded(waveform: np.ndarray, n_frames: int, fps: float) -> np.ndarray:
    """With silence for ``_MARGIN_STEPS`` before the first frame and after the last."""
    before = _MARGIN_STEPS * HOP_SAMPLES
    after = max(0, round(n_frames / fps * SAMPLE_RATE_HZ) - waveform.size) + before
    return np.pad(waveform.astype(np.float32), (before, after + FIELD_SAMPLES))
