"""Figures drawn without a display, written as pictures."""

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from wildtalker_core.media.files import atomic_path


def save_figure(figure: plt.Figure, path: str, dpi: int = 130) -> None:
    """Write a figure, atomically, and forget it."""
    with atomic_path(path) as partial:
        figure.savefig(partial, dpi=dpi, facecolor="white")
    plt.close(figure)


def plain(axes: plt.Axes) -> None:
    """A light grid, small numbers, no frame above and on the right."""
    axes.tick_params(labelsize=8)
    axes.grid(color="#e3e6e8", lw=0.6)
    axes.spines[["top", "right"]].set_visible(False)
