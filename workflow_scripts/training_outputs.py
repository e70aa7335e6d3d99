"""What the three training scripts write alike."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from wildtalker_core.media.files import save_json
from wildtalker_core.training.checkpoints import save_portrait
from wildtalker_core.training.stages import Trained


@contextmanager
def log_to(folder: Path) -> Iterator[Callable[[int, dict[str, float]], None]]:
    """A function that writes a step's losses to TensorBoard and to the job's log."""
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(folder)) as writer:

        def log(step: int, losses: dict[str, float]) -> None:
            for name, value in losses.items():
                writer.add_scalar(name, value, step)
            print(f"step {step}: " + ", ".join(f"{k} {v:.5f}" for k, v in losses.items()))

        yield log


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
