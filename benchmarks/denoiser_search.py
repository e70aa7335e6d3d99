"""Random local search of the constants of ``mss_adaptive``; called by denoising.py."""

from __future__ import annotations

import sys
import time
from dataclasses import asdict, replace

import numpy as np
from noisy_pairs import RATE_HZ, Pair, composites, named, scores

from wildtalker_core.speech.adaptive_subtraction import DEFAULTS, Constants, denoise_adaptive

# Where the search begins: the papers' own constants, nothing of ours.
START = Constants(
    presence_snr_db=15.0,
    noise_memory=0.8,
    presence_memory=0.9,
    noise_bias=1.0,
    level_memory=0.0,
    envelope_memory=0.4,
    fine_memory=0.92,
    level_seconds=0.0002,
    envelope_seconds=0.00125,
    ratio_floor_db=-15.0,
    ratio_bias=0.0,
    gain_floor=0.15,
    high_hz=4200.0,
    high_exponent=1.0,
    pause_gain=0.7,
    pause_db=-9.0,
    pause_slope_db=2.0,
    pause_seconds=0.06,
)


def tune(pairs: list[Pair], speaker: str, seconds: float, seed: int, margin: float) -> None:
    """Random local search of the constants on one speaker (or ``all``); PESQ where STOI is kept.

    Prints the winner, what lies halfway from the start to it, and the scores of both, also on the
    speakers that the search has not seen. A search that few recordings guide goes too far (it mutes
    pauses so eagerly that another speaker's soft syllables go with them); halfway keeps most of the
    gain.
    """
    seen = [pair for pair in pairs if speaker == "all" or pair[0].startswith(speaker)]
    unseen = [pair for pair in pairs if speaker != "all" and not pair[0].startswith(speaker)]
    if not seen:
        sys.exit(f"error: no speaker {speaker!r}")
    least_stoi = scores(seen, lambda noisy: noisy)[:, 1].mean() - margin

    def value(constants: Constants) -> float:
        mean = scores(seen, lambda x: denoise_adaptive(x, RATE_HZ, constants=constants)).mean(0)
        return mean[0] - 100.0 * max(0.0, least_stoi - mean[1])

    rng = np.random.default_rng(seed)
    found = [(value(START), START)]
    end = time.time() + seconds
    while time.time() < end:
        found.sort(key=lambda pair: -pair[0])
        base = found[min(int(rng.exponential(1.0)), len(found) - 1)][1]
        names = rng.choice(list(asdict(base)), rng.integers(1, 5), replace=False)
        candidate = replace(base, **{n: moved(n, getattr(base, n), rng) for n in names})
        found.append((value(candidate), candidate))
    best = max(found, key=lambda pair: pair[0])[1]
    halfway = Constants(
        **{name: 0.5 * (value + getattr(best, name)) for name, value in asdict(START).items()}
    )
    print(f"{len(found)} tries on {speaker}: {best}\nhalfway: {halfway}")
    for title, group in ((f"{speaker} (searched)", seen), ("others (unseen)", unseen)):
        if not group:
            continue
        for name, denoise in (
            ("noisy", lambda x: x),
            ("mss", named("mss")),
            ("start", lambda x: denoise_adaptive(x, RATE_HZ, constants=START)),
            ("winner", lambda x: denoise_adaptive(x, RATE_HZ, constants=best)),
            ("halfway", lambda x: denoise_adaptive(x, RATE_HZ, constants=halfway)),
            ("defaults", lambda x: denoise_adaptive(x, RATE_HZ, constants=DEFAULTS)),
        ):
            mean = scores(group, denoise).mean(axis=0)
            opinions = composites(group, denoise)
            print(
                f"{title:18s} {name:9s} PESQ {mean[0]:.3f}  STOI {mean[1]:.4f}  {opinions}",
                flush=True,
            )


def moved(name: str, value: float, rng: np.random.Generator) -> float:
    """A neighbour of a constant, by its kind."""
    if name == "ratio_bias":
        return value + rng.normal(0.0, 0.2)
    if name.endswith("_db") and not name.endswith("slope_db"):
        return value + rng.normal(0.0, 2.0)
    if name == "level_memory":
        return float(np.clip(value + rng.normal(0.0, 0.2), 0.0, 0.8))
    if name.endswith("memory"):
        return float(np.clip(1.0 - (1.0 - value) * np.exp(rng.normal(0.0, 0.3)), 0.05, 0.99))
    return float(value * np.exp(rng.normal(0.0, 0.25)))
