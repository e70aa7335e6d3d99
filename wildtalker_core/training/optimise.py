"""The loop that head, lips and torso share: resume, step, guard, log."""

from __future__ import annotations

import ctypes
import math
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from wildtalker_core.errors import InputError
from wildtalker_core.media.files import save_arrays
from wildtalker_core.progress import progress
from wildtalker_core.training.checkpoints import load_latest_checkpoint, save_checkpoint
from wildtalker_core.training.options import Optimiser
from wildtalker_core.training.precision import mix_precision
from wildtalker_core.training.schedules import exponential_decay, is_due, warm_up

_LOG_EVERY = 50
_WARM_UP_STEPS = 20


@dataclass(frozen=True)
class Group:
    """Parameters that share a peak learning rate and a weight decay."""

    parameters: list[nn.Parameter]
    learning_rate: float
    weight_decay: float = 0.0


@dataclass(frozen=True)
class Step:
    """What one step found.

    Attributes:
        total: the loss, a scalar with gradients.
        parts: what it is made of, by name.
        batch: what it was computed from, by name, so that a step that fails can be looked at.
    """

    total: Tensor
    parts: dict[str, Tensor]
    batch: Mapping[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True)
class Run:
    """Where a run lives and who watches it.

    Attributes:
        config: what the run depends on, for refusing a foreign checkpoint.
        folder: of its checkpoints.
        seed: of its sampling.
        mixed_precision: see :func:`precision.compute_dtype`.
        log: called with (step, losses) every 50 steps.
        preview: called with the step every ``preview_every`` steps and after the last one.
    """

    config: dict
    folder: Path
    seed: int
    mixed_precision: str = "off"
    log: Callable[[int, dict[str, float]], None] | None = None
    preview: Callable[[int], None] | None = None
    preview_every: int = 0


@dataclass(frozen=True)
class Outcome:
    """What a run did; ``seconds`` over all its resumed parts."""

    seconds: float
    steps: int
    losses: dict[str, float]


#: step, generator -> loss, its parts and its batch
LossOf = Callable[[int, torch.Generator], Step]


def keep_freed_memory() -> None:
    """Let the C library keep what is freed: each step asks for the same blocks again.

    By default glibc gives large blocks back to the system, which then clears every page anew at the
    next step; that costs a step on the CPU up to half its time.
    """
    if sys.platform == "linux":
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # glibc only
        if mallopt is not None:
            trim_threshold, mmap_threshold = -1, -3  # of malloc.h
            mallopt(trim_threshold, 2**31 - 1)
            mallopt(mmap_threshold, 2**25)


def optimise(
    model: nn.Module,
    groups: list[Group],
    loss_of: LossOf,
    optimiser: Optimiser,
    run: Run,
    description: str,
    before_step: Callable[[int, torch.Generator], None] | None = None,
) -> Outcome:
    """Minimise ``loss_of`` over the parameters of ``groups``; the model ends with averaged weights.

    Killed at any moment and called again, it continues from the last checkpoint in the run's folder
    and, on the CPU, ends with the same weights as if it had not been killed.

    Args:
        model: its whole state is kept; only the parameters of ``groups`` are trained.
        before_step: work between steps that changes buffers (occupancy).

    Raises:
        InputError: on a loss or a weight that is not finite, or, with float16, on losses or
            gradients that keep on not being so, naming step, parts, batch and the last good
            checkpoint.
    """
    keep_freed_memory()
    course = _Course(model, groups, optimiser, run, description)
    losses: dict[str, float] = {}
    for step in progress(range(course.first, optimiser.steps), description):
        course.set_learning_rates(step)
        if before_step is not None:
            before_step(step, course.generator)
        found = loss_of(step, course.generator)
        # With float16 the scaler skips such a step, and a later one may be good.
        if not course.scaler.is_enabled() and not math.isfinite(found.total.item()):
            raise course.not_finite("loss is", step, found)
        course.follow(found.total)
        done = step + 1
        is_last = done == optimiser.steps
        if is_due(done, _LOG_EVERY) or is_last:
            if course.scaler.is_enabled() and course.scaler.get_scale() < 1:
                # Halved at each skipped step: by now nothing is learnt any more.
                what = "gradients are" if math.isfinite(found.total.item()) else "loss is"
                raise course.not_finite(what, step, found)
            losses = {name: value.item() for name, value in found.parts.items()}
            if run.log is not None:
                run.log(done, losses)
        if run.preview is not None and (is_due(done, run.preview_every) or is_last):
            run.preview(done)
        if is_due(done, optimiser.checkpoint_every) or is_last:
            # A gradient can be infinite where the loss is not: its weights must not be kept.
            if not all(p.isfinite().all() for p in course.parameters):
                raise course.not_finite("weights are", step, found)
            course.save(done)
    course.keep_averages()
    return Outcome(course.seconds(), optimiser.steps, losses)


class _Course:
    """All that decides a run's steps: weights, buffers, optimiser, scaler, averages, random state.

    It begins where the last checkpoint in the run's folder ends.
    """

    def __init__(
        self,
        model: nn.Module,
        groups: list[Group],
        optimiser: Optimiser,
        run: Run,
        description: str,
    ) -> None:
        self.optimiser, self.run, self.description = optimiser, run, description
        self.groups = [group for group in groups if group.parameters]
        self.parameters = [p for group in self.groups for p in group.parameters]
        device = self.parameters[0].device
        if device.type == "cpu":
            # Several threads would else sum the gradients of indexed tensors in any order, and a
            # resumed run would end elsewhere than an undisturbed one.
            torch.use_deterministic_algorithms(True)
            # A help for debugging only.
            torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
        self.adam = torch.optim.AdamW(
            [{"params": g.parameters, "weight_decay": g.weight_decay} for g in self.groups],
            # As floats: a config may say 0.
            betas=(float(optimiser.beta1), float(optimiser.beta2)), eps=optimiser.epsilon,
            fused=True,
        )  # fmt: skip
        self.scaler = mix_precision(model, run.mixed_precision, device)
        self.parts: dict[str, Any] = {"model": model, "adam": self.adam, "scaler": self.scaler}
        self.averages = [p.detach().clone() for p in self.parameters]
        self.generator = torch.Generator().manual_seed(run.seed)
        self.first, self.seconds_before, self.last_good = 0, 0.0, "none yet"
        self._resume()
        self.started = time.monotonic()

    def _resume(self) -> None:
        resumed = load_latest_checkpoint(self.run.folder, self.run.config)
        if not resumed:
            return
        path, state = resumed
        for name, part in self.parts.items():
            part.load_state_dict(state[name])
        torch._foreach_copy_(self.averages, state["averaged"])
        self.generator.set_state(state["generator"])
        torch.set_rng_state(state["torch_random"])
        self.first, self.seconds_before, self.last_good = state["step"], state["seconds"], str(path)
        at = f"step {self.first} of {self.optimiser.steps}"
        print(f"{self.description}: resuming at {at} from {path}")

    def save(self, done: int) -> None:
        """Write the state after so many steps as a checkpoint."""
        state = {name: part.state_dict() for name, part in self.parts.items()} | {
            "averaged": self.averages,
            "generator": self.generator.get_state(),
            "torch_random": torch.get_rng_state(),
            "step": done,
            "seconds": self.seconds(),
        }
        self.last_good = str(save_checkpoint(self.run.folder, done, state, self.run.config))

    def seconds(self) -> float:
        """Of all parts of the run."""
        return self.seconds_before + time.monotonic() - self.started

    def set_learning_rates(self, step: int) -> None:
        factor = exponential_decay(step, self.optimiser.steps, self.optimiser.final_factor)
        for group, peak in zip(self.adam.param_groups, self.groups, strict=True):
            group["lr"] = peak.learning_rate * factor * warm_up(step, _WARM_UP_STEPS)

    def follow(self, loss: Tensor) -> None:
        """One step down the loss's gradient."""
        self.adam.zero_grad(set_to_none=True)
        self.scaler.scale(loss).backward()
        self.scaler.step(self.adam)  # with float16, not done where a gradient is not finite
        self.scaler.update()
        with torch.no_grad():
            torch._foreach_lerp_(self.averages, [*self.parameters], 1 - self.optimiser.ema_decay)

    def keep_averages(self) -> None:
        """Make the exponential moving averages the parameters' values."""
        with torch.no_grad():
            torch._foreach_copy_([*self.parameters], self.averages)

    def not_finite(self, what: str, step: int, found: Step) -> InputError:
        """The error of a step whose loss or weights are not finite; its batch is written down."""
        named = ", ".join(f"{name} {value.item():.3g}" for name, value in found.parts.items())
        batch = ""
        if found.batch:
            path = self.run.folder / f"not_finite_step_{step:08d}.npz"
            save_arrays(path, step=step, **found.batch)
            batch = f"; batch: {_ranges(found.batch)}, written to {path}"
        return InputError(
            f"{self.description} step {step}",
            f"the {what} not finite ({named}){batch}; last good checkpoint: {self.last_good}",
            "look at these frames, lower the learning rates in the config's train section, or set "
            "train.mixed_precision to off if it is not",
        )


def _ranges(batch: Mapping[str, np.ndarray]) -> str:
    """What is in a batch, short: each number once, or the range of many."""
    parts = []
    for name, values in batch.items():
        columns = np.asarray(values).reshape(len(values), -1).T
        for axis, column in zip("xyz", columns, strict=False):
            distinct = np.unique(column)
            is_few = len(distinct) <= 8
            shown = ", ".join(map(str, distinct)) if is_few else f"{distinct[0]} to {distinct[-1]}"
            parts.append(f"{name} {axis} {shown}" if len(columns) > 1 else f"{name} {shown}")
    return "; ".join(parts)
