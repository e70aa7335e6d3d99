"""Lips under original speech and, beside it, under speech that noise is mixed into: two tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from wildtalker_core.metrics.tables import Column, Row, Score, Table, mean_row
from workflow_scripts.parts import parts_of
from workflow_scripts.score_tables import (
    HEAD_COLUMNS,
    SYNC_COLUMNS,
    footers_of,
    kind_of,
    names_of,
    quoted_lines,
    quoted_rows,
    video_row,
)
from workflow_scripts.settings import corruption_of, is_driven, is_head

#: What one video was scored by, as score_render writes it.
Scored = Mapping[str, Any]


def head_tables(
    videos: Sequence[Scored], quoted: Mapping[str, Any], conditions: Sequence[str]
) -> list[Table]:
    """Table 2: the head on the test frames, with the clip's own speech and with that corrupted.

    Columns of both stand side by side as in the paper; those of corrupted speech, each a mean over
    the corruptions, only where the config has some (``evaluate.test_corruptions``).
    """
    heads = [s for s in videos if is_head(s["setting"])]
    corrupted = [s for s in names_of(heads, "setting") if corruption_of(s)]
    columns = grouped_columns(HEAD_COLUMNS) if corrupted else HEAD_COLUMNS
    numbers = quoted.get("table2", {})
    paper = quoted_rows(
        numbers if corrupted else {name: of["original"] for name, of in numbers.items()}, columns
    )
    footers = [
        "the head before the reference picture (finished videos of others as they are); "
        "ground_truth: the real video",
        *footers_of(HEAD_COLUMNS, heads, conditions),
        *quoted_lines(quoted),
    ]
    if corrupted:
        noises = ", ".join(str(corruption_of(s)) for s in corrupted)
        footers.insert(
            1,
            f"corrupted: the test speech with noise mixed in: {noises}; lips are scored against "
            "it without",
        )
    title = "Table 2. Lip synchronisation of the head, self-driven"
    if not heads:
        return [Table(title, columns, paper, ["no head was rendered (report.table2)", *footers])]
    rows = grouped_parts([*real_videos(videos), *heads], names_of(heads, "clip"), corrupted)
    return parts_of(title, columns, rows, footers, paper)


def driven_tables(
    videos: Sequence[Scored], corrupted: Sequence[str], conditions: Sequence[str]
) -> list[Table]:
    """Whole portraits that speak other speech; the real video leads as orientation.

    Where some driving speech is corrupted, columns of the original and of the corrupted stand side
    by side, each a mean over its recordings, and a part is a clip. Otherwise a part is a recording
    on a clip.
    """
    driven = [s for s in videos if is_driven(s["setting"])]
    shown, clips = [*real_videos(videos), *driven], names_of(driven, "clip")
    footers = [
        "ground_truth: the real video with its own speech (no video of the driving speech exists)",
        *footers_of(SYNC_COLUMNS, driven, conditions),
    ]
    title = "Portraits driven by other speech"
    if not driven:
        note = "nothing was driven by other speech: the config's `drive:` is empty"
        return [Table(title, SYNC_COLUMNS, [], [note, *footers])]
    if corrupted:
        note = "corrupted: noise mixed into the driving speech; lips are scored against it without"
        rows = grouped_parts(shown, clips, corrupted)
        return parts_of(title, grouped_columns(SYNC_COLUMNS), rows, [note, *footers])
    parts = {}
    for setting in names_of(driven, "setting"):
        for clip in clips:
            name = setting.removeprefix("drive_")
            parts[name if len(clips) == 1 else f"{name} on {clip}"] = [
                video_row(s)
                for s in shown
                if s["clip"] == clip and s["setting"] in ("self_driven", setting)
            ]
    return parts_of(title, SYNC_COLUMNS, parts, footers, parts_name="driving speeches")


def real_videos(videos: Sequence[Scored]) -> list[Scored]:
    return [s for s in videos if (s["method"], s["setting"]) == ("ground_truth", "self_driven")]


def grouped_columns(columns: Sequence[Column]) -> list[Column]:
    """The columns for original and for corrupted speech, keys with the group before."""
    return [
        replace(column, key=f"{group}:{column.key}", group=group)
        for group in ("original", "corrupted")
        for column in columns
        if column.better != "none"
    ]


def grouped_parts(
    videos: Sequence[Scored], clips: Sequence[str], corrupted: Sequence[str]
) -> dict[str, list[Row]]:
    """Rows by clip; grouped where some of the speech is corrupted."""
    parts = {}
    for clip in clips:
        by_method: dict[str, list[Scored]] = {}
        for s in videos:
            if s["clip"] == clip:
                by_method.setdefault(s["method"], []).append(s)
        parts[clip] = [
            grouped_row(of, corrupted) if corrupted else video_row(of[0])
            for of in by_method.values()
        ]
    return parts


def grouped_row(scores: Sequence[Scored], corrupted: Sequence[str]) -> Row:
    """One method's scores of all its speeches on one clip → means over either group.

    The real video has but one speech, its own, which stands under both.
    """
    first = scores[0]
    cells: dict[str, Score] = {}
    for group, is_in_group in (
        ("original", lambda setting: setting not in corrupted),
        ("corrupted", lambda setting: setting in corrupted or setting == "self_driven"),
    ):
        rows = [video_row(s) for s in scores if is_in_group(s["setting"])]
        if rows:
            cells |= {f"{group}:{key}": score for key, score in mean_row(rows).scores.items()}
        else:
            reason = f"no {group} speech in this config"
            cells |= {f"{group}:{key}": Score(None, reason) for key in first["scores"]}
    return Row(first["method"], kind_of(first), cells, video_row(first).head)
