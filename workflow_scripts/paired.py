"""Rows compared frame by frame: what is hard is hard for all, so differences are known better."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas

from wildtalker_core.media.files import load_json
from wildtalker_core.metrics import bootstrap
from wildtalker_core.metrics.tables import COMPETING, TIE_ERRORS, Row, Score, Table
from wildtalker_core.metrics.video_scores import MEANS
from workflow_scripts.parts import Errors, parts_of
from workflow_scripts.score_tables import MORE_COLUMNS, TABLE1_COLUMNS, kind_of, names_of, row_name

#: Scores of each frame by (clip, method, setting), frame numbers as the index.
FrameTables = Mapping[tuple[str, str, str], pandas.DataFrame]

COLUMNS = tuple(c for c in (*TABLE1_COLUMNS, *MORE_COLUMNS) if c.key in MEANS)


def read_frames(score_paths: Sequence[str]) -> dict[tuple[str, str, str], pandas.DataFrame]:
    """The tables of frames that score_render writes beside its JSON files."""
    tables = {}
    for path in score_paths:
        of = load_json(path)
        table = pandas.read_csv(Path(path).with_suffix(".tsv"), sep="\t", index_col="frame")
        tables[of["clip"], of["method"], of["setting"]] = table
    return tables


def differences(
    a: pandas.DataFrame, b: pandas.DataFrame, block: int
) -> Iterator[tuple[str, float, float]]:
    """(score, mean of a less b over the frames that both have, its standard error)."""
    for key in MEANS:
        if key in a and key in b:
            difference = (a[key] - b[key]).dropna().sort_index().to_numpy(float)
            error = bootstrap.error_of_mean(difference, block)
            if error is not None:
                yield key, float(difference.mean()), error


def all_errors(scores: Sequence[Mapping[str, Any]], frames: FrameTables) -> Mapping[str, Errors]:
    """By clip, the standard errors of the differences between all rows that compete."""
    found: dict[str, dict[tuple[str, str, str], float]] = {}
    competing = [s for s in scores if kind_of(s) in COMPETING and key_of(s) in frames]
    for a, b in itertools.permutations(competing, 2):
        if a["clip"] == b["clip"]:
            pair = differences(frames[key_of(a)], frames[key_of(b)], a["block_frames"])
            found.setdefault(a["clip"], {}).update(
                {(row_name(a), row_name(b), key): error for key, _, error in pair}
            )
    return found


def difference_tables(
    scores: Sequence[Mapping[str, Any]], frames: FrameTables, conditions: Sequence[str]
) -> list[Table]:
    """Each competing row less the first method, the mean over clips first, then each clip's."""
    competing = [s for s in scores if kind_of(s) in COMPETING and key_of(s) in frames]
    own = [s for s in competing if kind_of(s) != "baseline"]
    title = "Table 1, differences between rows"
    footers = [
        "means over the frames that both rows have, ± standard error of the difference (blocks of "
        f"frames as in Table 1); beyond {TIE_ERRORS} of them the rows differ",
        *conditions,
    ]
    if not own:
        return [Table(title, COLUMNS, [], ["no method of this config is scored", *footers])]
    base = own[0]["method"]
    parts = {}
    for clip in names_of(own, "clip"):
        of_clip = {s["method"]: s for s in competing if s["clip"] == clip}
        parts[clip] = [
            difference_row(s, of_clip[base], frames)
            for name, s in of_clip.items()
            if name != base and base in of_clip
        ]
    return parts_of(title, COLUMNS, parts, footers, suffix=f", each less {base}")


def difference_row(a: Mapping[str, Any], b: Mapping[str, Any], frames: FrameTables) -> Row:
    """``a`` less ``b``; of no kind that is ranked."""
    found = {
        key: Score(value, standard_error=error)
        for key, value, error in differences(
            frames[key_of(a)], frames[key_of(b)], a["block_frames"]
        )
    }
    lacking = Score(None, "not measured on four frames of both rows")
    cells = {column.key: found.get(column.key, lacking) for column in COLUMNS}
    return Row(f"{row_name(a)} less {row_name(b)}", "difference", cells)


def key_of(scores: Mapping[str, Any]) -> tuple[str, str, str]:
    return scores["clip"], scores["method"], scores["setting"]
