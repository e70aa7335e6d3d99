"""Learning rates over a run, and what happens every so many steps."""

from __future__ import annotations


def exponential_decay(step: int, n_steps: int, final_factor: float) -> float:
    """Factor of the learning rate: 1 at the start, ``final_factor`` after ``n_steps``.

    The schedule of RAD-NeRF, ER-NeRF and SyncTalk: ``final_factor ** (step / n_steps)``.
    """
    return final_factor ** (step / n_steps)


def warm_up(step: int, n_steps: int) -> float:
    """Factor that rises linearly from 1/n to 1 over the first ``n_steps`` steps."""
    return min(1.0, (step + 1) / n_steps) if n_steps else 1.0


def is_due(step: int, every: int) -> bool:
    """Whether something that happens every so many steps happens at this one; 0 is never."""
    return every > 0 and step % every == 0
