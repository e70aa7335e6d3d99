"""Scores of the clean clip and its spoiled forms → one curve a method, score against strength."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt

from wildtalker_core.media.files import load_json
from workflow_scripts.figures import plain, save_figure
from workflow_scripts.job import job
from workflow_scripts.score_tables import BY_KEY, kind_of

#: Scores shown: the torso that hands hide, the face, the mouth's shape and its movement.
SHOWN = ("psnr_torso_db", "psnr_face_db", "lmd_px", "mouth_correlation")

#: {score: {method: [(strength, value)]}}, by rising strength.
Curves = dict[str, dict[str, list[tuple[int, float]]]]


def main(
    video_scores: Sequence[dict[str, Any]], strengths: Mapping[str, int], figure_path: str
) -> None:
    """Draw each score against strength.

    Args:
        video_scores: of score_render; the ground truth, the same at every strength, once.
        strengths: percent by clip; all are the same clip, spoiled that much.
    """
    truth = [s for s in video_scores if kind_of(s) == "ground_truth"]
    methods = [s for s in video_scores if kind_of(s) != "ground_truth"]
    figure = draw_robustness(
        robustness_curves(methods, strengths),
        {key: truth[0]["scores"][key]["value"] for key in SHOWN} if truth else {},
    )
    save_figure(figure, figure_path)


def robustness_curves(
    video_scores: Sequence[dict[str, Any]], strengths: Mapping[str, int]
) -> Curves:
    """The measured values; what could not be measured leaves a gap in its curve."""
    curves: Curves = {key: {} for key in SHOWN}
    for scores in sorted(video_scores, key=lambda s: strengths[s["clip"]]):
        for key in SHOWN:
            value = scores["scores"][key]["value"]
            if value is not None:
                points = curves[key].setdefault(scores["method"], [])
                points.append((strengths[scores["clip"]], value))
    return curves


def draw_robustness(curves: Curves, truth: Mapping[str, float | None]) -> plt.Figure:
    """A panel for each score.

    Args:
        truth: the ground truth's scores, in words: a line of it would be far off the curves.
    """
    methods = list(dict.fromkeys(name for by_method in curves.values() for name in by_method))
    colours = dict(zip(methods, plt.get_cmap("tab10")(range(10)), strict=False))
    figure, axes = plt.subplots(
        1, len(curves), figsize=(3.1 * len(curves), 3.0), layout="constrained"
    )
    lines = {}
    for ax, (key, by_method) in zip(axes, curves.items(), strict=True):
        for method, points in by_method.items():
            (lines[method],) = ax.plot(
                *zip(*points, strict=True), "-o", color=colours[method], ms=3.5, lw=1.4
            )
        strengths = sorted({strength for of in by_method.values() for strength, _ in of})
        ax.set_xticks(strengths)
        ax.set_title(f"{BY_KEY[key].heading} {BY_KEY[key].arrow}", fontsize=10)
        if truth.get(key) is not None:
            ax.set_title(f"truth {truth[key]:.2f}", fontsize=7.5, color="#5c6670", loc="right")
        ax.set_xlabel("strength of the spoiling, %", fontsize=9)
        plain(ax)
    figure.legend(
        list(lines.values()), list(lines), loc="outside lower center", ncols=6, fontsize=8,
        frameon=False,
    )  # fmt: skip
    return figure


if __name__ == "__main__":
    with job(snakemake):
        main(
            [load_json(path) for path in snakemake.input.videos],
            snakemake.params.strengths,
            snakemake.output.figure,
        )
