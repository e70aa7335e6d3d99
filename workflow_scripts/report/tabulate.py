"""Scores → Tables 1 to 3 in the paper's layout, and the lines that a finished run prints."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from wildtalker_core.media.files import load_json, save_json
from wildtalker_core.metrics.tables import Column, Row, Score, Table, mean_row, to_text
from workflow_scripts import provenance
from workflow_scripts.denoisers import ROW_NAMES
from workflow_scripts.job import job
from workflow_scripts.score_tables import (
    MORE_COLUMNS,
    SPEECH_COLUMNS,
    SYNC_COLUMNS,
    TABLE1_COLUMNS,
    backend_lines,
    explain,
    face_lines,
    hardware_lines,
    kind_of,
    names_of,
    quoted_lines,
    quoted_rows,
    read_quoted,
    row_name,
    row_of,
    write,
    write_tables,
)


@dataclass(frozen=True)
class Tables:
    """Each a list: first the table that matters (the mean, with several clips), then its parts."""

    table1: list[Table]
    more: list[Table]
    table2: list[Table]
    table3: list[Table]


def main(
    video_scores: Sequence[dict[str, Any]],
    speech_scores: Sequence[dict[str, Any]],
    quoted: Mapping[str, Any] | None,
    made_with: dict[str, Any],
    places: dict[str, Any],
    outputs: Mapping[str, str],
    corrupted: Sequence[str] = (),
) -> None:
    """Write every table and the summary.

    Args:
        corrupted: settings in which the driving speech has noise mixed in.
        video_scores: results of score_render, in the order of the rows.
        speech_scores: results of score_speech, in the order of the rows.
        quoted: config/paper_numbers.yaml, or None for tables of our own rows alone.
        made_with: of :func:`provenance.describe`.
        places: paths that the summary names: ``videos``, ``tables`` (lists), ``report``.
        outputs: paths by name: table1_tsv, ..., table3_tex, more_tsv, more_md, summary, provenance.
    """
    tables = build_tables(video_scores, speech_scores, quoted, made_with, corrupted)
    for name in ("table1", "table2", "table3", "more"):
        of_this = {form: outputs.get(f"{name}_{form}") for form in ("tsv", "md", "tex")}
        paths = {form: path for form, path in of_this.items() if path}
        write_tables(getattr(tables, name), paths)
    save_json(outputs["provenance"], made_with)
    write(outputs["summary"], summarise(tables, places))


def build_tables(
    video_scores: Sequence[dict[str, Any]],
    speech_scores: Sequence[dict[str, Any]],
    quoted: Mapping[str, Any] | None,
    made_with: Mapping[str, Any],
    corrupted: Sequence[str] = (),
) -> Tables:
    quoted = quoted or {}
    self_driven = [s for s in video_scores if not s["setting"].startswith("drive_")]
    rows = {clip: video_rows(self_driven, clip) for clip in names_of(self_driven, "clip")}
    footers = [
        *ceiling_lines(self_driven),
        *hardware_lines(video_scores, made_with),
        *face_lines(self_driven),
        *backend_lines(self_driven, TABLE1_COLUMNS),
    ]
    table1 = parts_of(
        "Table 1. Self-driven portraits on the test frames",
        TABLE1_COLUMNS,
        rows,
        quoted_rows(quoted.get("table1", {}), TABLE1_COLUMNS),
        [*explain(TABLE1_COLUMNS), *footers, *quoted_lines(quoted)],
    )
    more = parts_of(
        "Table 1, continued. Further scores",
        MORE_COLUMNS,
        rows,
        [],
        [
            *explain(MORE_COLUMNS),
            *hardware_lines(video_scores, made_with),
            *backend_lines(self_driven, MORE_COLUMNS),
        ],
    )
    return Tables(
        table1,
        more,
        driven_tables(video_scores, quoted, made_with, corrupted),
        speech_tables(speech_scores, quoted, made_with),
    )


def video_rows(scores: Sequence[dict[str, Any]], clip: str) -> list[Row]:
    """The ground truth and what can be reached at best lead."""
    leading = ("ground_truth", "ceiling")
    rows = [row_of(row_name(s), kind_of(s), s["scores"]) for s in scores if s["clip"] == clip]
    return sorted(rows, key=lambda row: (*leading, row.kind).index(row.kind))


def ceiling_lines(scores: Sequence[Mapping[str, Any]]) -> list[str]:
    return [
        f"{row_name(s)}: a ceiling, the portrait on frames that it was trained on"
        for s in scores
        if kind_of(s) == "ceiling" and s["clip"] == scores[0]["clip"]
    ]


def parts_of(
    title: str,
    columns: Sequence[Column],
    rows_by_part: Mapping[str, Sequence[Row]],
    quoted: Sequence[Row],
    footers: Sequence[str],
    parts_name: str = "clips",
) -> list[Table]:
    """The one part's table; or the mean over parts, with quoted rows, then each part's."""
    if len(rows_by_part) == 1:
        part, rows = next(iter(rows_by_part.items()))
        return [Table(f"{title}: {part}", columns, [*rows, *quoted], footers, part)]
    names = list(dict.fromkeys(row.name for rows in rows_by_part.values() for row in rows))
    means = []
    for name in names:
        same = [row for rows in rows_by_part.values() for row in rows if row.name == name]
        means.append(mean_row(same))
    mean_title = f"{title}, mean over {len(rows_by_part)} {parts_name}"
    mean = Table(mean_title, columns, [*means, *quoted], footers)
    return [mean] + [
        Table(f"{title}: {part}", columns, list(rows), (), part)
        for part, rows in rows_by_part.items()
    ]


def driven_tables(
    video_scores: Sequence[dict[str, Any]],
    quoted: Mapping[str, Any],
    made_with: Mapping[str, Any],
    corrupted: Sequence[str],
) -> list[Table]:
    """Table 2; the real video leads as orientation.

    Where some driving speech is corrupted, columns of the original and of the corrupted stand side
    by side as in the paper, each a mean over its recordings, and a part is a clip. Otherwise a part
    is a recording on a clip.
    """
    driven = [s for s in video_scores if s["setting"].startswith("drive_")]
    real = [
        s for s in video_scores if (s["method"], s["setting"]) == ("ground_truth", "self_driven")
    ]
    has_groups = bool(corrupted) and bool(driven)
    columns = grouped_columns() if has_groups else SYNC_COLUMNS
    footers = [
        "ground_truth: the real video with its own speech (no video of the driving speech exists)",
        *explain(SYNC_COLUMNS),
        *hardware_lines(video_scores, made_with),
        *backend_lines(driven, SYNC_COLUMNS),
    ]
    if has_groups:
        footers.insert(
            0, "corrupted: noise mixed into the driving speech; lips are scored against it without"
        )
    if quoted.get("table2"):
        names = ", ".join(quoted["table2"])
        footers.append(f"the paper's Table 2 has {names}; its numbers are not available to us")
    title = "Table 2. Portraits driven by other speech"
    if not driven:
        note = "nothing was driven by other speech: the config's `drive:` is empty"
        return [Table(title, columns, [], [note, *footers])]
    if has_groups:
        parts = {
            clip: [
                grouped_row([s for s in (*real, *driven) if is_of(s, clip, name)], corrupted)
                for name in names_of([s for s in (*real, *driven) if s["clip"] == clip], "method")
            ]
            for clip in names_of(driven, "clip")
        }
        return parts_of(title, columns, parts, [], footers)
    parts = {}
    clips = names_of(driven, "clip")
    for setting in names_of(driven, "setting"):
        for clip in clips:
            part = setting.removeprefix("drive_")
            part = part if len(clips) == 1 else f"{part} on {clip}"
            parts[part] = [
                row_of(s["method"], kind_of(s), s["scores"])
                for s in (*real, *driven)
                if s["clip"] == clip and s["setting"] in ("self_driven", setting)
            ]
    return parts_of(title, columns, parts, [], footers, "driving speeches")


def is_of(scores: Mapping[str, Any], clip: str, method: str) -> bool:
    return scores["clip"] == clip and scores["method"] == method


def grouped_columns() -> list[Column]:
    """The columns of lip sync for original and for corrupted speech, keys with the group before."""
    return [
        replace(column, key=f"{group}:{column.key}", group=group)
        for group in ("original", "corrupted")
        for column in SYNC_COLUMNS
        if column.better != "none"
    ]


def grouped_row(scores: Sequence[Mapping[str, Any]], corrupted: Sequence[str]) -> Row:
    """One method's scores of all driving speeches on one clip → means over either group.

    The real video has but one speech, its own, which stands under both.
    """
    first = scores[0]
    cells: dict[str, Score] = {}
    for group, is_in_group in (
        ("original", lambda setting: setting not in corrupted),
        ("corrupted", lambda setting: setting in corrupted or setting == "self_driven"),
    ):
        rows = [
            row_of(s["method"], kind_of(s), s["scores"])
            for s in scores
            if is_in_group(s["setting"])
        ]
        if rows:
            cells |= {f"{group}:{key}": score for key, score in mean_row(rows).scores.items()}
        else:
            reason = f"no {group} driving speech in this config"
            cells |= {f"{group}:{column.key}": Score(None, reason) for column in SYNC_COLUMNS}
    return Row(first["method"], kind_of(first), cells)


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
        main(
            [load_json(path) for path in snakemake.input.videos],
            [load_json(path) for path in snakemake.input.speech],
            read_quoted(snakemake.input.paper)
            if snakemake.params.options["has_quoted_rows"]
            else None,
            provenance.describe(snakemake.config),
            {
                "videos": list(snakemake.params.rendered),
                "tables": [
                    *(getattr(snakemake.output, f"table{i}_md") for i in (1, 2, 3)),
                    *snakemake.params.more_tables,
                ],
                "report": snakemake.params.report,
            },
            dict(snakemake.output.items()),
            list(snakemake.params.corrupted),
        )
