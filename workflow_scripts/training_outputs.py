"""What the training scripts do and write alike."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from wildtalker_core.media.files import save_json
from wildtalker_core.training.checkpoints import save_portrait
from wildtalker_core.training.stages import Log, Show, Trained


def train(
    stage: str,
    run: Callable[[Path, Log, Show], Trained],
    facts: dict,
    portrait_path: str,
    figures_path: str,
) -> None:
    """Run a stage of training, watched; write figures with ``facts`` and, last, the portrait."""
    folder = Path(portrait_path).parent  # checkpoints and tensorboard there survive a kill
    checkpoints = folder / "checkpoints" / stage
    with watch(folder / "tensorboard" / stage) as (log, show):
        trained = run(checkpoints, log, show)
    save_json(figures_path, {**trained.figures, **facts})
    save_portrait(
        Path(portrait_path),
        trained.portrait.state_dict(),
        {"stage": stage, "shape": trained.portrait.shape.to_dict()},
    )
    # They have done their work.
    shutil.rmtree(checkpoints, ignore_errors=True)


@contextmanager
def watch(folder: Path) -> Iterator[tuple[Log, Show]]:
    """Losses to TensorBoard and to the job's log, previews to TensorBoard."""
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(folder), flush_secs=10) as writer:  # previews are watched

        def log(step, losses):
            for name, value in losses.items():
                writer.add_scalar(name, value, step)
            print(f"step {step}: " + ", ".join(f"{k} {v:.5f}" for k, v in losses.items()))

        def show(step, picture):
            writer.add_image("preview", picture, step, dataformats="HWC")

        yield log, show
