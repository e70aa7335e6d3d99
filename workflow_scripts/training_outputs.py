"""What the three training scripts write alike."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from wildtalker_core.media.files import save_json
from wildtalker_core.training.checkpoints import save_portrait
from wildtalker_core.training.stages import Log, Show, Trained


@dataclass(frozen=True)
class Watch:
    """Who watches a run: arguments of the stages' functions."""

    log: Log
    show: Show


@contextmanager
def watch(folder: Path) -> Iterator[Watch]:
    """Losses to TensorBoard and to the job's log, previews to TensorBoard."""
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(folder), flush_secs=10) as writer:  # previews are watched

        def log(step, losses):
            for name, value in losses.items():
                writer.add_scalar(name, value, step)
            print(f"step {step}: " + ", ".join(f"{k} {v:.5f}" for k, v in losses.items()))

        def show(step, picture):
            writer.add_image("preview", picture, step, dataformats="HWC")

        yield Watch(log, show)


def finish(
    trained: Trained,
    stage: str,
    facts: dict,
    portrait_path: Path,
    figures_path: Path,
    checkpoints: Path,
) -> None:
    """Write figures and, last, the portrait; then the checkpoints have done their work."""
    save_json(figures_path, {**trained.figures, **facts})
    save_portrait(
        portrait_path,
        trained.portrait.state_dict(),
        {"stage": stage, "shape": trained.portrait.shape.to_dict()},
    )
    shutil.rmtree(checkpoints, ignore_errors=True)
