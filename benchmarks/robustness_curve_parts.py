"""The cells of ``robustness_curve.py``, their table and their figure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import pandas
from scipy.stats import t as student

from wildtalker_core.media.files import load_json
from workflow_scripts.score_tables import BY_KEY

#: Scores of a cell: those of the torso, the face, the lips, and of the mouth's shape and movement.
SHOWN = ("psnr_torso_db", "psnr_face_db", "psnr_lips_db", "lmd_px", "mouth_correlation")
CONFIDENCE = 0.95
_CELL = re.compile(r"(chest|mouth)_(\d+)/spoiled_(\d+)/evaluate/(\w+)/self_driven\.json")


@dataclass(frozen=True)
class Cell:
    """One score of one training; value None where it has none. strength: percent."""

    place: str
    seed: int
    strength: int
    method: str
    score: str
    value: float | None


def read_cells(folder: Path) -> list[Cell]:
    """Every cell that is finished under ``folder``; clean ones count for both places."""
    found = []
    for path in sorted(folder.glob("*_*/spoiled_*/evaluate/*/self_driven.json")):
        match = _CELL.fullmatch(str(path.relative_to(folder)))
        if not match or match[4] == "ground_truth":
            continue
        scores = load_json(path)["scores"]
        place, seed, strength, method = match[1], int(match[2]), int(match[3]), match[4]
        for where in ("chest", "mouth") if strength == 0 else (place,):
            found += [
                Cell(where, seed, strength, method, key, scores[key]["value"]) for key in SHOWN
            ]
    return list(dict.fromkeys(found))


def write_table(cells: Sequence[Cell], path: Path) -> None:
    pandas.DataFrame(cells).to_csv(path, sep="\t", index=False, float_format="%.6g")


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Mean over seeds and half the width of its 95 % interval (Student's t); NaN for one seed."""
    n = len(values)
    if n < 2:
        return float(np.mean(values)), float("nan")
    error = float(np.std(values, ddof=1)) / np.sqrt(n)
    return float(np.mean(values)), float(student.ppf(0.5 + CONFIDENCE / 2, n - 1) * error)


def draw(cells: Sequence[Cell], path: Path) -> None:
    """A row of panels for each place, a panel for each score, a curve with its band a method."""
    places = [place for place in ("chest", "mouth") if any(c.place == place for c in cells)]
    methods = list(dict.fromkeys(c.method for c in cells))
    colours = dict(zip(methods, plt.get_cmap("tab10")(range(10)), strict=False))
    figure, axes = plt.subplots(
        len(places), len(SHOWN), figsize=(2.9 * len(SHOWN), 2.6 * len(places) + 0.5),
        squeeze=False, layout="constrained", sharex=True, sharey="col",
    )  # fmt: skip
    for row, place in zip(axes, places, strict=True):
        for ax, key in zip(row, SHOWN, strict=True):
            for method in methods:
                of = [c for c in cells if (c.place, c.method, c.score) == (place, method, key)]
                draw_curve(ax, of, colours[method])
            ax.set_title(f"{BY_KEY[key].heading} {BY_KEY[key].arrow}", fontsize=9)
            ax.tick_params(labelsize=8)
            ax.grid(color="#e3e6e8", lw=0.6)
            ax.spines[["top", "right"]].set_visible(False)
        row[0].set_ylabel(f"hands over the {place}", fontsize=9)
    for ax in axes[-1]:
        ax.set_xticks(sorted({c.strength for c in cells}))
        ax.set_xlabel("strength of the spoiling, %", fontsize=8)
    handles = [plt.Line2D([], [], color=colours[m], marker="o", ms=3.5) for m in methods]
    figure.legend(handles, methods, loc="outside lower center", ncols=6, fontsize=8, frameon=False)
    figure.savefig(path, dpi=130)
    plt.close(figure)


def draw_curve(ax: plt.Axes, cells: Sequence[Cell], colour: object) -> None:
    by_strength: dict[int, list[float]] = {}
    for cell in sorted(cells, key=lambda cell: cell.strength):
        if cell.value is not None:
            by_strength.setdefault(cell.strength, []).append(cell.value)
    if not by_strength:
        return
    means, widths = np.array([interval(values) for values in by_strength.values()]).T
    strengths = np.array(list(by_strength))
    ax.plot(strengths, means, "-o", color=colour, ms=3.5, lw=1.4)
    ax.fill_between(strengths, means - widths, means + widths, color=colour, alpha=0.15, lw=0)
