"""The loop that head, lips and torso share: resume, step, guard, log."""

from __future__ import annotations

import ctypes
import math
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from wildtalker_core.errors import InputError
from wildtalker_core.progress import progress
from wildtalker_core.training.checkpoints import load_latest_checkpoint, save_checkpoint
from wildtalker_core.training.schedules import exponential_decay, warm_up

_LOG_EVERY = 50
_WARM_UP_STEPS = 20


@dataclass(frozen=True)
class Optimiser:
    """AdamW and its course; defaults from SyncTalk (PEERS A.4).

    Attributes:
        steps: of the stage, in all (a resumed run does the rest).
        lr_grids, lr_nets: learning rates of tables and of networks.
        final_factor: of both after the last step.
        beta1, beta2: of AdamW.
        ema_decay: of the averaged weights that are kept at the end.
        checkpoint_every: steps.
    """

    steps: int
    lr_grids: float = 1e-2
    lr_nets: float = 1e-3
    final_factor: float = 0.1
    beta1: float = 0.9
    beta2: float = 0.99
    ema_decay: float = 0.95
    checkpoint_every: int = 500


@dataclass(frozen=True)
class Outcome:
    """What a run did; ``seconds`` over all its resumed parts."""

    seconds: float
    steps: int
    losses: dict[str, float]


#: step, generator -> total loss and named parts
LossOf = Callable[[int, torch.Generator], tuple[Tensor, dict[str, Tensor]]]


class Averaged:
    """Exponential moving average of parameters."""

    def __init__(self, parameters: list[nn.Parameter], decay: float) -> None:
        self.parameters, self.decay = parameters, decay
        self.values = [p.detach().clone() for p in parameters]

    @torch.no_grad()
    def update(self) -> None:
        torch._foreach_lerp_(self.values, self.parameters, 1 - self.decay)

    @torch.no_grad()
    def store(self) -> None:
        """Make the averages the parameters' values."""
        for parameter, value in zip(self.parameters, self.values, strict=True):
            parameter.copy_(value)


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
    grids: list[nn.Parameter],
    nets: list[nn.Parameter],
    loss_of: LossOf,
    optimiser: Optimiser,
    config: dict,
    folder: Path,
    description: str,
    seed: int,
    before_step: Callable[[int, torch.Generator], None] | None = None,
    log: Callable[[int, dict[str, float]], None] | None = None,
) -> Outcome:
    """Minimise ``loss_of`` over ``grids`` and ``nets``; the model ends with averaged weights.

    Killed at any moment and called again, it continues from the last checkpoint in ``folder`` and,
    on the CPU, ends with the same weights as if it had not been killed: the checkpoint holds
    weights, buffers, optimiser, averages and the random state, and nothing else decides a step.

    Args:
        model: its whole state is kept; only ``grids`` and ``nets`` are trained.
        config: what the run depends on, for refusing a foreign checkpoint.
        before_step: work between steps that changes buffers (occupancy).
        log: called with (step, losses) every 50 steps.

    Raises:
        InputError: on a non-finite loss, naming step, parts and the last good checkpoint.
    """
    keep_freed_memory()
    if grids[0].device.type == "cpu":
        # Several threads would else sum the gradients of indexed tensors in any order, and a
        # resumed run would end elsewhere than an undisturbed one.
        torch.use_deterministic_algorithms(True)
        torch.utils.deterministic.fill_uninitialized_memory = False  # a help for debugging only
    grouped = [
        {"params": grids, "lr": optimiser.lr_grids, "weight_decay": 0.0},
        {"params": nets, "lr": optimiser.lr_nets, "weight_decay": 0.0},
    ]
    adam = torch.optim.AdamW(
        grouped, betas=(optimiser.beta1, optimiser.beta2), eps=1e-8, fused=True
    )
    peaks = [group["lr"] for group in adam.param_groups]
    averaged = Averaged([*grids, *nets], optimiser.ema_decay)
    generator = torch.Generator().manual_seed(seed)
    first, seconds, last_good = 0, 0.0, "none yet"
    found = load_latest_checkpoint(folder, config)
    if found:
        path, state = found
        model.load_state_dict(state["model"])
        adam.load_state_dict(state["adam"])
        with torch.no_grad():
            for value, stored in zip(averaged.values, state["averaged"], strict=True):
                value.copy_(stored)
        generator.set_state(state["generator"])
        torch.set_rng_state(state["torch_random"])
        first, seconds, last_good = state["step"], state["seconds"], str(path)
        print(f"{description}: resuming at step {first} of {optimiser.steps} from {path}")
    started, losses = time.monotonic(), {}
    for step in progress(range(first, optimiser.steps), description):
        factor = exponential_decay(step, optimiser.steps, optimiser.final_factor)
        for group, peak in zip(adam.param_groups, peaks, strict=True):
            group["lr"] = peak * factor * warm_up(step, _WARM_UP_STEPS)
        if before_step is not None:
            before_step(step, generator)
        total, parts = loss_of(step, generator)
        if not math.isfinite(total.item()):
            named = ", ".join(f"{name} {value.item():.3g}" for name, value in parts.items())
            raise InputError(
                f"{description} step {step}",
                f"the loss is not finite ({named}); last good checkpoint: {last_good}",
                "lower the learning rates in the config's train section and start again",
            )
        adam.zero_grad(set_to_none=True)
        total.backward()
        adam.step()
        averaged.update()
        done = step + 1
        if done % _LOG_EVERY == 0 or done == optimiser.steps:
            losses = {name: value.item() for name, value in parts.items()}
            if log is not None:
                log(done, losses)
        if done % optimiser.checkpoint_every == 0 or done == optimiser.steps:
            state = {
                "model": model.state_dict(),
                "adam": adam.state_dict(),
                "averaged": averaged.values,
                "generator": generator.get_state(),
                "torch_random": torch.get_rng_state(),
                "step": done,
                "seconds": seconds + time.monotonic() - started,
            }
            last_good = str(save_checkpoint(folder, done, state, config))
    averaged.store()
    return Outcome(seconds + time.monotonic() - started, optimiser.steps, losses)
