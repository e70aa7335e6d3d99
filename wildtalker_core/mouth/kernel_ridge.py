"""Kernel ridge regression of the mouth's shape; cross-validation chooses its numbers."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from itertools import product

import torch
from jaxtyping import Float
from torch import Tensor

_SHARPNESSES, _NOISES = (0.25, 0.5, 1.0, 2.0), (0.03, 0.1, 0.3, 1.0)
_TURN_WEIGHTS = (0.0, 0.003, 0.01, 0.03, 0.1)
_DELAYS = range(-5, 11)  # frames
#: Sharpness and noise while delay and turn weight are chosen, and if nothing can be held out.
_CAUTIOUS = (0.5, 1.0)
#: ASSUME where the sound explains less than a twentieth at any delay, the best one is chance.
_HARDLY_HEARD = 0.95
_N_FOLDS, _FOLD_GAP = 6, 12  # frames: half a second at 25 fps


def fit_kernel(
    kernel: Float[Tensor, "n n"], wanted: Float[Tensor, "n k"], noise: float
) -> tuple[Float[Tensor, "k"], Float[Tensor, "n k"]]:
    """Mean and coefficients of kernel ridge regression of ``wanted``."""
    mean = wanted.mean(0)
    ridge = kernel + noise * torch.eye(len(kernel), dtype=kernel.dtype, device=kernel.device)
    return mean, torch.cholesky_solve(wanted - mean, torch.linalg.cholesky(ridge))


def _cross_validate(
    kernel: Float[Tensor, "n n"], wanted: Float[Tensor, "n k"], noise: float
) -> Float[Tensor, "k"]:
    """Mean squared error of guessing ``wanted``, each fold from the folds far from it.

    Infinite if there are too few frames to keep any apart.
    """
    n = len(wanted)
    number = torch.arange(n, device=wanted.device)
    squared = torch.zeros_like(wanted)
    for fold in number.chunk(_N_FOLDS):
        known = number[(number < fold[0] - _FOLD_GAP) | (number > fold[-1] + _FOLD_GAP)]
        if not len(known):
            return torch.full_like(wanted[0], torch.inf)
        mean, coefficients = fit_kernel(kernel[known][:, known], wanted[known], noise)
        guess = mean + kernel[fold][:, known] @ coefficients
        squared[fold] = (guess - wanted[fold]).square()
    return squared.mean(0)


@dataclass(frozen=True)
class Choice:
    """The numbers of an ear.

    Attributes:
        unexplained_variance: part of the motion that held-out frames do not show explained;
            infinite if there are too few frames to hold any out.
        delay_frames: by which the sound comes after its picture.
        turn_weight: of the turns' kernel beside that of the sound.
        sharpness: power of the sound's kernel.
        noise: ridge.
    """

    unexplained_variance: float
    delay_frames: int
    turn_weight: float
    sharpness: float
    noise: float

    def figures(self) -> dict[str, float]:
        """All that are finite, by name."""
        return {name: value for name, value in asdict(self).items() if math.isfinite(value)}


def choose(
    likeness: Callable[[int], Float[Tensor, "n n"]],
    by_turn: Float[Tensor, "n n"],
    wanted: Float[Tensor, "n k"],
    variances: Float[Tensor, "k"],
) -> Choice:
    """Cross-validation's choice.

    First the delay between picture and sound, then how much the pose tells, then sharpness and
    noise together.

    ASSUME six folds of consecutive frames, half a second apart from what they are tested on:
    windows overlap, so a random fold would be tested on what it was trained with.

    Args:
        likeness: delay -> kernel of the sound at a sharpness of 1.
        by_turn: kernel of the turns.
        variances: what an error of one unit costs.
    """

    def unexplained(alike: Tensor, turn_weight: float, sharpness: float, noise: float) -> float:
        kernel = alike**sharpness + turn_weight * by_turn
        errors = _cross_validate(kernel, wanted, noise)
        return ((errors * variances).sum() / variances.sum()).item()

    # Nearest to none first: stays none if the clip is too short to hold anything out.
    delays = sorted(_DELAYS, key=abs)
    by_delay = {d: unexplained(likeness(d), 0.0, *_CAUTIOUS) for d in delays}
    delay = min(delays, key=lambda delay: by_delay[delay])
    spread = (wanted.var(0, False) * variances).sum() / variances.sum()
    if by_delay[delay] > _HARDLY_HEARD * spread:
        delay = 0
    alike = likeness(delay)
    turn_weight = min(_TURN_WEIGHTS, key=lambda weight: unexplained(alike, weight, *_CAUTIOUS))
    tried = (_CAUTIOUS, *product(_SHARPNESSES, _NOISES))
    left = {numbers: unexplained(alike, turn_weight, *numbers) for numbers in tried}
    best = min(left, key=lambda numbers: left[numbers])
    return Choice(left[best], delay, turn_weight, *best)
