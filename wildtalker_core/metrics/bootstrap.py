"""Standard errors of scores of a video, whose neighbouring frames are alike.

Frames are no independent draws: a second of a smile is scored 25 times. So whole blocks of
neighbouring frames are drawn (circular block bootstrap, Politis and Romano 1992), not frames.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

#: Draws behind a standard error, and behind that of a statistic which needs a loop.
N_RESAMPLES, N_SLOW_RESAMPLES = 2000, 300


def block_frames(n_frames: int, fps: float) -> int:
    """Length of a block in frames.

    ASSUME: one second, beyond which a talking face has moved on, but at most a quarter of the
    frames, so that there are four blocks to draw. On a clip of a few seconds the errors come out
    too small; a longer test split is the remedy.
    """
    return max(1, min(round(fps), n_frames // 4))


def error_of_mean(values: np.ndarray, block: int) -> float | None:
    """Standard error of the mean of values [frames]; NaN frames take no part.

    None where fewer than four frames have a value: nothing can be said then.
    """
    is_known = np.isfinite(values)
    if is_known.sum() < 4:
        return None
    centred = np.where(is_known, values - values[is_known].mean(), 0.0)
    sums, counts = (_block_sums(series, block) for series in (centred, is_known.astype(float)))
    starts = _starts(len(values), block, N_RESAMPLES)
    n_drawn = np.maximum(counts[starts].sum(axis=1), 1.0)
    return float((sums[starts].sum(axis=1) / n_drawn).std(ddof=1))


def error_of(statistic: Callable[[np.ndarray], float], n_frames: int, block: int) -> float | None:
    """Standard error of any statistic of frame numbers [n], drawn with repetition.

    None where it has no value in more than half of the draws.
    """
    if n_frames < 4:
        return None
    drawn = np.array([statistic(frames) for frames in _draws(n_frames, block)])
    drawn = drawn[np.isfinite(drawn)]
    return float(drawn.std(ddof=1)) if len(drawn) > N_SLOW_RESAMPLES // 2 else None


def _starts(n_frames: int, block: int, n_resamples: int) -> np.ndarray:
    """Firsts of the blocks of each draw, [draws, blocks]; the same for all rows of a table."""
    n_blocks = -(-n_frames // block)
    return np.random.default_rng(0).integers(n_frames, size=(n_resamples, n_blocks))


def _draws(n_frames: int, block: int) -> Iterator[np.ndarray]:
    for starts in _starts(n_frames, block, N_SLOW_RESAMPLES):
        yield ((starts[:, None] + np.arange(block)) % n_frames).ravel()[:n_frames]


def _block_sums(values: np.ndarray, block: int) -> np.ndarray:
    """Sum of the block that begins at each frame, around the end, [frames]."""
    total = np.concatenate([[0.0], np.cumsum(np.concatenate([values, values[: block - 1]]))])
    return total[block:] - total[:-block]
