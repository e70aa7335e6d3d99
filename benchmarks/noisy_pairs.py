"""Pairs of clean and noisy speech, denoisers by name, and their scores; for denoising.py."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from pesq import pesq
from pystoi import stoi

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from typing import Any  # noqa: E402

from wildtalker_core.media.audio import decode_sound, read_waveform  # noqa: E402
from wildtalker_core.metrics.speech_quality import score_speech  # noqa: E402
from wildtalker_core.speech import mixing  # noqa: E402
from wildtalker_core.speech.denoisers import make_denoiser  # noqa: E402
from wildtalker_core.speech.options import DenoiserOptions  # noqa: E402

RATE_HZ = 16000
SNRS_DB = (17.5, 12.5, 7.5, 2.5)
Pair = tuple[str, np.ndarray, np.ndarray]
Denoise = Callable[[np.ndarray], np.ndarray]


def named(name: str, **changes: Any) -> Denoise:
    denoiser = make_denoiser(name, DenoiserOptions(**changes))
    return lambda noisy: denoiser(noisy, RATE_HZ)


def read_pairs(data: Path) -> list[Pair]:
    return [
        (path.stem, read_waveform(path)[0], read_waveform(data / "pairs" / "noisy" / path.name)[0])
        for path in sorted((data / "pairs" / "clean").glob("*.wav"))
    ]


def scores(pairs: list[Pair], denoise: Denoise) -> np.ndarray:
    """[files, 3]: wide-band PESQ, STOI, SI-SDR in decibels."""
    rows = []
    for _, clean, noisy in pairs:
        estimate = denoise(noisy)
        rows.append(
            (
                pesq(RATE_HZ, clean, estimate, "wb"),
                stoi(clean, estimate, RATE_HZ),
                si_sdr_db(clean, estimate),
            )
        )
    return np.array(rows)


def composites(pairs: list[Pair], denoise: Denoise) -> str:
    """Means of Hu and Loizou's composite measures, to print."""
    rows = [score_speech(clean, denoise(noisy), RATE_HZ) for _, clean, noisy in pairs]
    return "  ".join(
        f"{name.upper()} {np.mean([row[name] for row in rows]):.3f}"
        for name in ("csig", "cbak", "covl")
    )


def si_sdr_db(reference: np.ndarray, estimate: np.ndarray) -> float:
    target = reference * (estimate @ reference) / (reference @ reference)
    return float(10.0 * np.log10(np.sum(target**2) / np.sum((estimate - target) ** 2)))


def mixes(
    data: Path, every: int, snrs_db: Sequence[float] = SNRS_DB
) -> list[tuple[str, float, Pair]]:
    """(noise, snr_db, pair): clean speech cut in mid-word, under each noise at each ratio."""
    rng = np.random.default_rng(0)
    noises = {path.stem: decode_sound(path, RATE_HZ) for path in sorted((data / "noise").glob("*"))}
    result = []
    for k, (noise_name, noise) in enumerate(noises.items()):
        for name, clean, _ in read_pairs(data)[k % every :: every]:
            powers = mixing.piece_powers(clean, RATE_HZ)
            first = np.flatnonzero(mixing.is_active(powers))[0]
            clean = clean[first * RATE_HZ // 50 + RATE_HZ // 10 :]
            at = rng.integers(max(1, noise.size - clean.size))
            piece = mixing.fit_length(noise[at:], clean.size, RATE_HZ)
            if np.mean(piece**2) < 1e-8:  # a pause of the noise
                piece = mixing.fit_length(noise, clean.size, RATE_HZ)
            for snr_db in snrs_db:
                mixed = mixing.mix_at_snr(clean, piece, snr_db, RATE_HZ)
                result.append((noise_name, snr_db, (name, clean, mixed)))
    return result
