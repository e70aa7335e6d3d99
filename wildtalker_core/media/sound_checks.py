"""Whether a sound is a recording of somebody who speaks, and what is wrong with it."""

from __future__ import annotations

import numpy as np
from scipy import signal

from wildtalker_core.errors import InputError
from wildtalker_core.media.files import AnyPath

# ASSUME: below this no microphone records speech; a muted track is what it is.
SILENCE_DBFS = -60.0

#: Telephone band, Hz: whoever speaks is heard in it.
SPEECH_BAND_HZ = (300.0, 3400.0)

#: Frequencies of mains, Hz.
MAINS_HZ = (50, 60)

# ASSUME: a mains line is named where it lies so far above its neighbours and is so loud; lines of a
# voice wander, and are not so narrow over seconds.
_LINE_DB, _LINE_DBFS = 20.0, -50.0

# ASSUME: more than this is a fault of the recorder, not chance.
_OFFSET = 0.002

# ASSUME: 0.0005 and more is clipping; see clipped_share.
_MAX_CLIPPED_SHARE = 0.0005


def require_audible(
    waveform: np.ndarray, sample_rate_hz: int, path: AnyPath, others: str = ""
) -> None:
    """Raise InputError if even the loudest 50 ms lie below ``SILENCE_DBFS`` in the speech band.

    A constant offset, and mains hum with its harmonics, are not counted as sound.

    Args:
        others: what else the file holds, for the message.
    """
    level_dbfs = speech_level_dbfs(waveform, sample_rate_hz)
    if level_dbfs < SILENCE_DBFS:
        faults = sound_faults(waveform, sample_rate_hz)
        beside = f" ({'; '.join(faults)})" if faults else ""
        raise InputError(
            path,
            f"is silent: where speech would be, its loudest moment is at {level_dbfs:.0f} dBFS"
            + beside,
            "give a recording in which the person is heard"
            + (f", or choose another by media.audio_stream: {others}" if others else ""),
        )


def speech_level_dbfs(waveform: np.ndarray, sample_rate_hz: int) -> float:
    """Level of the loudest moment in the speech band, without mains lines, dB of full scale.

    A click, or the step where an offset ends, is over sooner than the shortest word: the third
    loudest 50 ms count.
    """
    if len(waveform) == 0:
        return -200.0
    nyquist = sample_rate_hz / 2
    low, high = SPEECH_BAND_HZ
    filters = [signal.butter(4, (low, min(high, 0.95 * nyquist)), "bandpass", fs=sample_rate_hz,
                             output="sos")]  # fmt: skip
    for base in mains_hum(waveform, sample_rate_hz):
        for line in range(base * round(low / base), int(min(high, 0.95 * nyquist)), base):
            notch = signal.iirnotch(line, line / 4.0, sample_rate_hz)
            filters.append(signal.tf2sos(*notch))
    waveform = waveform - waveform.mean(dtype=np.float64)
    filtered = signal.sosfiltfilt(np.concatenate(filters), waveform, padlen=0)
    n_window = max(1, sample_rate_hz // 20)
    windows = np.pad(filtered, (0, -len(filtered) % n_window)).reshape(-1, n_window)
    levels = np.sort(np.sqrt(np.mean(windows**2, axis=1)))
    return 20.0 * float(np.log10(max(levels[-min(3, len(levels))], 1e-10)))


def mains_hum(waveform: np.ndarray, sample_rate_hz: int) -> dict[int, float]:
    """Mains frequencies (Hz) that are heard, with the level of their lines up to 400 Hz in dBFS.

    The spectrum is averaged over parts of 2 s (Welch 1967); a line is the peak within 1 Hz of a
    multiple, against the median from 3 to 15 Hz beside it.
    """
    n_part = 2 * sample_rate_hz
    if len(waveform) < n_part:
        return {}
    # The power of a sine of amplitude a, a^2 / 2, at its peak.
    _, power = signal.welch(
        waveform.astype(np.float64), sample_rate_hz, nperseg=n_part, scaling="spectrum"
    )
    found = {}
    for base in MAINS_HZ:
        lines = {}
        for multiple in range(base, min(400, sample_rate_hz // 2 - 20), base):
            peak = power[2 * multiple - 2 : 2 * multiple + 3].max()
            beside = np.r_[
                power[2 * multiple - 30 : 2 * multiple - 5],
                power[2 * multiple + 6 : 2 * multiple + 31],
            ]
            if peak > 10 ** (_LINE_DB / 10) * max(np.median(beside), 1e-20):
                lines[multiple] = peak
        level = 10 * np.log10(max(sum(lines.values()), 1e-20))
        # Rectifiers hum at twice the frequency; a tone elsewhere is no hum.
        if level > _LINE_DBFS and (base in lines or 2 * base in lines):
            found[base] = float(level)
    return found


def clipped_share(waveform: np.ndarray) -> float:
    """Share of samples beyond 90 % of full scale, where only a clipped recording lingers.

    ASSUME: 0.0005 and more is clipping. Lossy coding and resampling smear the flat tops of clipped
    waves, so runs of equal values cannot be counted; undistorted speech at full scale was measured
    at 0.00003 to 0.0001, clipped by 10 dB at 0.001 to 0.004.
    """
    return float((np.abs(waveform) > 0.9).mean())


def offset_of(waveform: np.ndarray) -> float:
    """The mean, where mean and median lie off zero on the same side; else 0.

    Voices have uneven waves, whose mean alone may be off.
    """
    if len(waveform) == 0:
        return 0.0
    mean, median = float(waveform.mean(dtype=np.float64)), float(np.median(waveform))
    is_offset = mean * median > 0 and min(abs(mean), abs(median)) > _OFFSET
    return mean if is_offset else 0.0


def sound_faults(waveform: np.ndarray, sample_rate_hz: int) -> list[str]:
    """Lines on a constant offset, mains hum and clipping; empty for a sound recording."""
    faults = []
    if offset := offset_of(waveform):
        faults.append(f"it has a constant offset of {offset:.3f}, which is taken away")
    for base, level in mains_hum(waveform, sample_rate_hz).items():
        faults.append(f"mains hum of {base} Hz at {level:.0f} dBFS: keep cables apart")
    share = clipped_share(waveform - offset_of(waveform))
    if share > _MAX_CLIPPED_SHARE:
        faults.append(f"{100 * share:.1f} % of the samples are clipped: record with less gain")
    return faults
