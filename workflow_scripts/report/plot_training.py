"""What training logged → curves, one panel a scalar, one line a method."""

from collections.abc import Mapping
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from workflow_scripts.figures import plain, save_figure
from workflow_scripts.job import job

#: {scalar's name: {method: (steps, values)}}
Curves = dict[str, dict[str, tuple[np.ndarray, np.ndarray]]]
N_COLUMNS = 3


def main(curves: Curves, figure_path: str) -> None:
    """Draw every scalar that training logged; a figure that says so if there is none."""
    figure = draw_curves(curves)
    save_figure(figure, figure_path)


def draw_curves(curves: Curves) -> plt.Figure:
    n_panels = max(1, len(curves))
    n_columns = min(N_COLUMNS, n_panels)
    n_rows = -(-n_panels // n_columns)
    figure, axes = plt.subplots(
        n_rows, n_columns, figsize=(3.6 * n_columns, 2.5 * n_rows), squeeze=False,
        layout="constrained",
    )  # fmt: skip
    for ax in axes.flat[len(curves) :]:
        ax.set_axis_off()
    if not curves:
        axes[0, 0].text(0.5, 0.5, "training logged no scalars", ha="center", va="center")
        return figure
    for ax, (name, by_method) in zip(axes.flat, curves.items(), strict=False):
        for method, (steps, values) in by_method.items():
            # A short run logs a point or two: lines alone would not show them.
            marker = "o" if len(steps) < 10 else ""
            ax.plot(steps, smooth(values), marker=marker, ms=4, lw=1.2, label=method)
        everything = np.concatenate([values for _, values in by_method.values()])
        if (everything > 0).all():
            ax.set_yscale("log")
        ax.set_title(name, fontsize=9)
        plain(ax)
    for ax in axes[-1]:
        ax.set_xlabel("step", fontsize=8)
    axes[0, 0].legend(fontsize=7, frameon=False)
    return figure


def smooth(values: np.ndarray, n_shown: int = 60) -> np.ndarray:
    """Running mean over about 1/60 of the curve: single batches differ too much to be read."""
    width = max(1, len(values) // n_shown)
    padded = np.pad(values, (width // 2, width - 1 - width // 2), mode="edge")
    return np.convolve(padded, np.full(width, 1 / width), mode="valid")


def read_curves(folders: Mapping[str, str]) -> Curves:
    """Scalars of TensorBoard folders by method.

    Args:
        folders: by method, the folder that holds event files, at any depth: the path between names
            the stage (``head``).
    """
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    curves: Curves = {}
    for method, folder in folders.items():
        runs = sorted({path.parent for path in Path(folder).rglob("events.out.tfevents.*")})
        for run in runs:
            events = EventAccumulator(str(run), size_guidance={"scalars": 2000})
            events.Reload()
            stage = run.relative_to(folder).as_posix()
            for tag in events.Tags()["scalars"]:
                name = tag if stage == "." else f"{stage}/{tag}"
                points = sorted({e.step: e.value for e in events.Scalars(tag)}.items())
                steps, values = (np.array(side, float) for side in zip(*points, strict=True))
                curves.setdefault(name, {})[method] = (steps, values)
    return curves


if __name__ == "__main__":
    with job(snakemake):
        folders = [str(Path(path).parent / "tensorboard") for path in snakemake.input.portraits]
        main(
            read_curves(dict(zip(snakemake.params.methods, folders, strict=True))),
            snakemake.output.figure,
        )
