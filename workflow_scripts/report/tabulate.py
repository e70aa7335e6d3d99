"""Scores → Tables 1 to 3 in the paper's layout, and the lines that a finished run prints."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import pandas

from wildtalker_core.media.files import load_json, save_json
from wildtalker_core.metrics.table_forms import to_text
from wildtalker_core.metrics.tables import Column, Row, Score, Table, mean_row
from workflow_scripts import paired, provenance
from workflow_scripts.denoisers import ROW_NAMES
from workflow_scripts.job import job
from workflow_scripts.paired import FrameTables
from workflow_scripts.score_tables import (
    HEAD_COLUMNS,
    INFORMED,
    MORE_COLUMNS,
    MOVEMENT_COLUMNS,
    SPEECH_COLUMNS,
    SYNC_COLUMNS,
    TABLE1_COLUMNS,
    backend_lines,
    explain,
    face_lines,
    hardware_lines,
    kind_of,
    left_out_lines,
    names_of,
    quoted_lines,
    quoted_rows,
    rank_lines,
    read_quoted,
    row_name,
    row_of,
    video_row,
    write,
    write_tables,
)
from workflow_scripts.settings import corruption_of, is_driven, is_head


@dataclass(frozen=True)
class Tables:
    """Each a list: first the table that matters (the mean, with several clips), then its parts."""

    table1: list[Table]
    more: list[Table]
    movement: list[Table]
    differences: list[Table]
    table2: list[Table]
    driven: list[Table]
    table3: list[Table]


@dataclass(frozen=True)
class Found:
    """What a run has measured.

    videos: results of score_render, in the order of the rows. frames: their tables by frame, as
    :func:`paired.read_frames` has them. speech: results of score_speech, in the order of the rows.
    corrupted: settings in which the driving speech has noise mixed in.
    """

    videos: Sequence[dict[str, Any]]
    frames: FrameTables
    speech: Sequence[dict[str, Any]]
    corrupted: Sequence[str] = ()


def main(
    found: Found,
    quoted: Mapping[str, Any] | None,
    made_with: dict[str, Any],
    places: dict[str, Any],
    outputs: Mapping[str, str],
) -> None:
    """Write every table and the summary.

    Args:
        quoted: config/paper_numbers.yaml, or None for tables of our own rows alone.
        made_with: of :func:`provenance.describe`.
        places: paths that the summary names: ``videos``, ``tables`` (lists), ``report``.
        outputs: paths by name: table1_tsv, ..., driven_tex, scores, summary, provenance.
    """
    tables = build_tables(found, quoted, made_with)
    for field in fields(tables):
        of_this = {form: outputs.get(f"{field.name}_{form}") for form in ("tsv", "md", "tex")}
        paths = {form: path for form, path in of_this.items() if path}
        write_tables(getattr(tables, field.name), paths)
    write(outputs["scores"], tidy_scores(found.videos).to_csv(sep="\t", index=False))
    save_json(outputs["provenance"], made_with)
    write(outputs["summary"], summarise(tables, places))


def tidy_scores(videos: Sequence[Mapping[str, Any]]) -> pandas.DataFrame:
    """Every score of every video, one a row: whose it is, its value, standard error, backend."""
    return pandas.DataFrame(
        [
            {
                **{key: s[key] for key in ("clip", "method", "setting")},
                "kind": kind_of(s),
                "head_of": s.get("head_of") or "",
                "score": key,
                "value": score["value"],
                "standard_error": score.get("standard_error"),
                "backend": score["backend"],
                "reason": score.get("reason", ""),
            }
            for s in videos
            for key, score in s["scores"].items()
        ]
    )


def build_tables(
    found: Found, quoted: Mapping[str, Any] | None, made_with: Mapping[str, Any]
) -> Tables:
    quoted = quoted or {}
    self_driven = [s for s in found.videos if s["setting"] in ("self_driven", *INFORMED)]
    rows = {clip: video_rows(self_driven, clip) for clip in names_of(self_driven, "clip")}
    conditions = hardware_lines(found.videos, made_with)
    footers = [
        *ceiling_lines(self_driven),
        *rank_lines(self_driven),
        *left_out_lines(self_driven),
        *conditions,
        *face_lines(self_driven),
        *backend_lines(self_driven, TABLE1_COLUMNS),
    ]
    errors = paired.all_errors(self_driven, found.frames)
    table1 = parts_of(
        "Table 1. Self-driven portraits on the test frames",
        TABLE1_COLUMNS,
        rows,
        quoted_rows(quoted.get("table1", {}), TABLE1_COLUMNS),
        [*explain(TABLE1_COLUMNS), *footers, *quoted_lines(quoted)],
        errors=errors,
    )
    more, movement = (
        parts_of(
            f"Table 1, continued. {title}",
            columns,
            rows,
            [],
            [
                *explain(columns),
                *rank_lines(self_driven),
                *conditions,
                *backend_lines(self_driven, columns),
            ],
            errors=errors,
        )
        for title, columns in (
            ("Further scores", MORE_COLUMNS),
            ("How the face moves, after THEval", MOVEMENT_COLUMNS),
        )
    )
    return Tables(
        table1,
        more,
        movement,
        paired.difference_tables(self_driven, found.frames, conditions),
        head_tables(found.videos, quoted, made_with),
        driven_tables(found.videos, made_with, found.corrupted),
        speech_tables(found.speech, quoted, made_with),
    )


def video_rows(scores: Sequence[dict[str, Any]], clip: str) -> list[Row]:
    """The ground truth, what can be reached at best, and the oracle lead."""
    leading = ("ground_truth", "ceiling", "oracle")
    rows = [video_row(s) for s in scores if s["clip"] == clip]
    return sorted(rows, key=lambda row: (*leading, row.kind).index(row.kind))


_WHY_CEILING = {
    "training_frames": "the portrait on frames that it was trained on",
    "torso_given": "the torso stands where it was filmed, not where the head's pose says",
}


def ceiling_lines(scores: Sequence[Mapping[str, Any]]) -> list[str]:
    return [
        f"{row_name(s)}: a ceiling, {_WHY_CEILING[s['setting']]}"
        for s in scores
        if kind_of(s) == "ceiling" and s["clip"] == scores[0]["clip"]
    ]


def head_tables(
    video_scores: Sequence[dict[str, Any]],
    quoted: Mapping[str, Any],
    made_with: Mapping[str, Any],
) -> list[Table]:
    """Table 2: the head on the test frames, with the clip's own speech and with that corrupted.

    Columns of both stand side by side as in the paper; those of corrupted speech, each a mean over
    the corruptions, only where the config has some (``evaluate.test_corruptions``).
    """
    heads = [s for s in video_scores if is_head(s["setting"])]
    real = [
        s for s in video_scores if (s["method"], s["setting"]) == ("ground_truth", "self_driven")
    ]
    corrupted = [s for s in names_of(heads, "setting") if corruption_of(s)]
    corruptions = ", ".join(str(corruption_of(s)) for s in corrupted)
    columns = grouped_columns(HEAD_COLUMNS) if corrupted else HEAD_COLUMNS
    numbers = quoted.get("table2", {})
    paper = quoted_rows(
        numbers if corrupted else {name: of["original"] for name, of in numbers.items()}, columns
    )
    footers = [
        "the head before the reference picture (finished videos of others as they are); "
        "ground_truth: the real video",
        *(["corrupted: the test speech with noise mixed in: "
           f"{corruptions}; lips are scored against it without"]
          if corrupted else []),
        *explain(HEAD_COLUMNS),
        *rank_lines(heads),
        *hardware_lines(video_scores, made_with),
        *backend_lines(heads, HEAD_COLUMNS),
        *quoted_lines(quoted),
    ]  # fmt: skip
    title = "Table 2. Lip synchronisation of the head, self-driven"
    if not heads:
        return [Table(title, columns, paper, ["no head was rendered (report.table2)", *footers])]
    return parts_of(title, columns, grouped_parts(real, heads, corrupted), paper, footers)


def grouped_parts(
    real: Sequence[Mapping[str, Any]],
    scores: Sequence[Mapping[str, Any]],
    corrupted: Sequence[str],
) -> dict[str, list[Row]]:
    """Rows by clip, the real video first; grouped where some of the speech is corrupted."""
    parts = {}
    for clip in names_of(scores, "clip"):
        of_clip = [s for s in (*real, *scores) if s["clip"] == clip]
        parts[clip] = [
            grouped_row([s for s in of_clip if s["method"] == name], corrupted)
            if corrupted
            else video_row(next(s for s in of_clip if s["method"] == name))
            for name in names_of(of_clip, "method")
        ]
    return parts


def parts_of(
    title: str,
    columns: Sequence[Column],
    rows_by_part: Mapping[str, Sequence[Row]],
    quoted: Sequence[Row],
    footers: Sequence[str],
    parts_name: str = "clips",
    errors: Mapping[str, Mapping[tuple[str, str, str], float]] | None = None,
) -> list[Table]:
    """The one part's table; or the mean over parts, with quoted rows, then each part's.

    Args:
        errors: by part, standard errors of differences between rows (``Table.paired_errors``).
    """
    errors = errors or {}
    if len(rows_by_part) == 1:
        part, rows = next(iter(rows_by_part.items()))
        rows = [*rows, *quoted]
        return [Table(f"{title}: {part}", columns, rows, footers, part, errors.get(part, {}))]
    names = list(dict.fromkeys(row.name for rows in rows_by_part.values() for row in rows))
    means = []
    for name in names:
        same = [row for rows in rows_by_part.values() for row in rows if row.name == name]
        means.append(mean_row(same))
    mean_title = f"{title}, mean over {len(rows_by_part)} {parts_name}"
    of_means = paired.errors_of_means([errors.get(part, {}) for part in rows_by_part])
    mean = Table(mean_title, columns, [*means, *quoted], footers, "mean", of_means)
    return [mean] + [
        Table(f"{title}: {part}", columns, list(rows), (), part, errors.get(part, {}))
        for part, rows in rows_by_part.items()
    ]


def driven_tables(
    video_scores: Sequence[dict[str, Any]],
    made_with: Mapping[str, Any],
    corrupted: Sequence[str],
) -> list[Table]:
    """Whole portraits that speak other speech; the real video leads as orientation.

    Where some driving speech is corrupted, columns of the original and of the corrupted stand side
    by side, each a mean over its recordings, and a part is a clip. Otherwise a part is a recording
    on a clip.
    """
    driven = [s for s in video_scores if is_driven(s["setting"])]
    real = [
        s for s in video_scores if (s["method"], s["setting"]) == ("ground_truth", "self_driven")
    ]
    has_groups = bool(corrupted) and bool(driven)
    columns = grouped_columns(SYNC_COLUMNS) if has_groups else SYNC_COLUMNS
    footers = [
        "ground_truth: the real video with its own speech (no video of the driving speech exists)",
        *explain(SYNC_COLUMNS),
        *rank_lines(driven),
        *hardware_lines(video_scores, made_with),
        *backend_lines(driven, SYNC_COLUMNS),
    ]
    if has_groups:
        footers.insert(
            0, "corrupted: noise mixed into the driving speech; lips are scored against it without"
        )
    title = "Portraits driven by other speech"
    if not driven:
        note = "nothing was driven by other speech: the config's `drive:` is empty"
        return [Table(title, columns, [], [note, *footers])]
    if has_groups:
        return parts_of(title, columns, grouped_parts(real, driven, corrupted), [], footers)
    parts = {}
    clips = names_of(driven, "clip")
    for setting in names_of(driven, "setting"):
        for clip in clips:
            part = setting.removeprefix("drive_")
            part = part if len(clips) == 1 else f"{part} on {clip}"
            parts[part] = [
                video_row(s)
                for s in (*real, *driven)
                if s["clip"] == clip and s["setting"] in ("self_driven", setting)
            ]
    return parts_of(title, columns, parts, [], footers, "driving speeches")


def grouped_columns(columns: Sequence[Column]) -> list[Column]:
    """The columns for original and for corrupted speech, keys with the group before."""
    return [
        replace(column, key=f"{group}:{column.key}", group=group)
        for group in ("original", "corrupted")
        for column in columns
        if column.better != "none"
    ]


def grouped_row(scores: Sequence[Mapping[str, Any]], corrupted: Sequence[str]) -> Row:
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


def speech_tables(
    speech_scores: Sequence[dict[str, Any]],
    quoted: Mapping[str, Any],
    made_with: Mapping[str, Any],
) -> list[Table]:
    """Table 3: a part for each speech of each clip that has a clean reference."""
    rows_by_part: dict[str, list[Row]] = {}
    for s in speech_scores:
        part = rows_by_part.setdefault(f"{s['clip']}, {s['speech']} speech", [])
        if "reference_scores" in s:
            part.insert(0, row_of("ground_truth", "ground_truth", s["reference_scores"]))
        name = ROW_NAMES.get(s["denoiser"], s["denoiser"])
        part.append(row_of(name, "measured", s["scores"]))
    rows = quoted_rows(quoted.get("table3", {}), SPEECH_COLUMNS)
    title = "Table 3. Speech enhancement"
    footers = [
        "ground_truth: the clean reference against itself; noisy: what was recorded",
        *explain(SPEECH_COLUMNS),
        *(f"reference: {name}" for name in names_of(speech_scores, "reference")),
        *backend_lines(speech_scores, SPEECH_COLUMNS),
        *hardware_lines([], made_with),
        *quoted_lines(quoted),
    ]
    if not rows_by_part:
        note = (
            "no clean reference: no clip has a truth and `speech.corruptions` is empty, "
            "so nothing can be scored"
        )
        return [Table(title, SPEECH_COLUMNS, rows, [note, *footers])]
    return parts_of(title, SPEECH_COLUMNS, rows_by_part, rows, footers, "recordings")


def summarise(tables: Tables, places: Mapping[str, Any]) -> str:
    """What a finished run prints: where to look, and the main table."""
    main_table = tables.table1[0]
    # A terminal has no room for the footers; they stand in the files.
    short = replace(main_table, footers=explain(main_table.columns))
    videos, written = ("\n".join(f"  {path}" for path in places[k]) for k in ("videos", "tables"))
    return f"{to_text(short)}\nvideos\n{videos}\ntables\n{written}\nreport\n  {places['report']}\n"


if __name__ == "__main__":
    with job(snakemake):
        given, params, output = snakemake.input, snakemake.params, snakemake.output
        written = [output.table1_md, output.table2_md, output.driven_md, output.table3_md]
        main(
            Found(
                [load_json(path) for path in given.videos],
                paired.read_frames(given.videos),
                [load_json(path) for path in given.speech],
                list(params.corrupted),
            ),
            read_quoted(given.paper) if params.options["has_quoted_rows"] else None,
            provenance.describe(snakemake.config),
            {
                "videos": list(params.rendered),
                "tables": [*written, *params.more_tables],
                "report": params.report,
            },
            dict(output.items()),
        )
