"""Scores of the clean clip and its spoiled forms → a table of each strength, and what it costs."""

from collections.abc import Mapping, Sequence
from typing import Any

from wildtalker_core.media.files import load_json
from wildtalker_core.metrics.tables import Row, Score, Table
from workflow_scripts import provenance
from workflow_scripts.job import job
from workflow_scripts.score_tables import (
    BY_KEY,
    face_lines,
    footers_of,
    hardware_lines,
    kind_of,
    video_row,
    write_tables,
)

SHOWN = ("psnr_db", "psnr_torso_db", "psnr_face_db", "ssim", "lpips", "lmd_px", "mouth_correlation",
         "lip_audio_correlation")  # fmt: skip
COLUMNS = tuple(BY_KEY[key] for key in SHOWN)


def main(
    video_scores: Sequence[dict[str, Any]],
    strengths: Mapping[str, int],
    made_with: Mapping[str, Any],
    outputs: Mapping[str, str],
) -> None:
    """Write the tables.

    Args:
        video_scores: of score_render; the ground truth once, for its reference is the same.
        strengths: percent by clip.
        outputs: paths by name: tsv, md, tex.
    """
    write_tables(build_tables(video_scores, strengths, made_with), outputs)


def build_tables(
    video_scores: Sequence[dict[str, Any]],
    strengths: Mapping[str, int],
    made_with: Mapping[str, Any],
) -> list[Table]:
    """A table for each strength, weakest first; then the strongest's scores less the weakest's."""
    truth = [s for s in video_scores if kind_of(s) == "ground_truth"]
    methods = [s for s in video_scores if kind_of(s) != "ground_truth"]
    rows = {
        strength: [video_row(s) for s in (*truth, *methods) if s["clip"] == clip or s in truth]
        for clip, strength in sorted(strengths.items(), key=lambda item: item[1])
    }
    footers = [
        "each method is trained on the spoiled clip; all are scored on the same test frames of the "
        "clean clip, with its clean speech",
        *footers_of(COLUMNS, methods, [*hardware_lines(methods, made_with), *face_lines(methods)]),
    ]
    title = "Robustness. The clip spoiled with hands and noise at strength"
    tables = [
        Table(
            f"{title} {strength} %",
            COLUMNS,
            of,
            footers if strength == min(rows) else (),
            f"strength {strength}",
        )
        for strength, of in rows.items()
    ]
    if len(rows) > 1:
        weakest, strongest = min(rows), max(rows)
        tables.append(
            Table(
                f"Robustness. What spoiling costs: scores at strength {strongest} % less those at "
                f"{weakest} %",
                COLUMNS,
                differences(rows[weakest], rows[strongest]),
                (),
                f"strength {strongest} less {weakest}",
            )
        )
    return tables


def differences(before: Sequence[Row], after: Sequence[Row]) -> list[Row]:
    """``after`` less ``before`` of the same methods; the ground truth, which stays, is left out."""
    result = []
    for old, new in zip(before, after, strict=True):
        if old.kind == "ground_truth":
            continue
        scores = {}
        for column in COLUMNS:
            pair = old.scores[column.key], new.scores[column.key]
            lacking = [score for score in pair if score.value is None]
            scores[column.key] = (
                lacking[0] if lacking else Score(pair[1].known_value - pair[0].known_value)
            )
        result.append(Row(new.name, new.kind, scores))
    return result


if __name__ == "__main__":
    with job(snakemake):
        main(
            [load_json(path) for path in snakemake.input.videos],
            snakemake.params.strengths,
            provenance.describe(snakemake.config),
            dict(snakemake.output.items()),
        )
