"""Scores of the same clip spoiled more and more → one curve a method."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from wildtalker_core.media.files import atomic_path, load_json
from workflow_scripts.job import job
from workflow_scripts.report.tabulate import MORE_COLUMNS, TABLE1_COLUMNS

#: Scores shown: the picture, the mouth's place, the mouth's movement.
SHOWN = ("psnr_db", "psnr_lips_db", "lmd_px", "mouth_correlation")

#: {score: {method: [(strength, value)]}}, by rising strength.
Curves = dict[str, dict[str, list[tuple[float, float]]]]


def main(
    video_scores: Sequence[dict[str, Any]], strengths: Mapping[str, float], figure_path: str
) -> None:
    """Draw each score against strength.

    Args:
        video_scores: of score_render; those of other clips and settings are left out.
        strengths: by clip; all are the same clip, spoiled that much, scored against its truth.
    """
    figure = draw_robustness(robustness_curves(video_scores, strengths))
    with atomic_path(figure_path) as partial:
        figure.savefig(partial, dpi=130)
    plt.close(figure)


def robustness_curves(
    video_scores: Sequence[dict[str, Any]], strengths: Mapping[str, float]
) -> Curves:
    """The measured values; what could not be measured leaves a gap in its curve."""
    curves: Curves = {key: {} for key in SHOWN}
    for scores in sorted(video_scores, key=lambda s: strengths.get(s["clip"], 0.0)):
        if scores["clip"] not in strengths or scores["setting"] != "self_driven":
            continue
        for key in SHOWN:
            value = scores["scores"][key]["value"]
            if value is not None:
                points = curves[key].setdefault(scores["method"], [])
                points.append((float(strengths[scores["clip"]]), value))
    return curves


def draw_robustness(curves: Curves) -> plt.Figure:
    columns = {column.key: column for column in (*TABLE1_COLUMNS, *MORE_COLUMNS)}
    figure, axes = plt.subplots(
        1, len(curves), figsize=(3.1 * len(curves), 3.0), layout="constrained"
    )
    for ax, (key, by_method) in zip(axes, curves.items(), strict=True):
        for method, points in by_method.items():
            style = "--" if method in ("ground_truth", "mean_frame", "nearest_landmarks") else "-"
            ax.plot(*zip(*points, strict=True), style, marker="o", ms=3.5, lw=1.4, label=method)
        ax.set_title(f"{columns[key].heading} {columns[key].arrow}", fontsize=10)
        ax.set_xlabel("strength", fontsize=9)
        ax.tick_params(labelsize=8)
        ax.grid(color="#e3e6e8", lw=0.6)
        ax.spines[["top", "right"]].set_visible(False)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=6, fontsize=8, frameon=False)
    return figure


if __name__ == "__main__":
    with job(snakemake):
        main(
            [load_json(path) for path in snakemake.input.videos],
            snakemake.params.options["robustness"],
            snakemake.output.figure,
        )
