"""Scores → Tables 1 to 3 in the paper's layout, and the lines that a finished run prints."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import pandas

from wildtalker_core.media.files import load_json, save_json
from wildtalker_core.metrics.table_forms import to_text
from wildtalker_core.metrics.tables import Row, Table
from workflow_scripts import paired, provenance
from workflow_scripts.denoisers import ROW_NAMES
from workflow_scripts.job import job
from workflow_scripts.lip_tables import driven_tables, head_tables
from workflow_scripts.paired import FrameTables
from workflow_scripts.parts import parts_of
from workflow_scripts.score_tables import (
    INFORMED,
    MORE_COLUMNS,
    MOVEMENT_COLUMNS,
    SPEECH_COLUMNS,
    TABLE1_COLUMNS,
    backend_lines,
    explain,
    face_lines,
    footers_of,
    hardware_lines,
    kind_of,
    left_out_lines,
    names_of,
    quoted_lines,
    quoted_rows,
    read_quoted,
    row_name,
    row_of,
    video_row,
    write,
    write_tables,
)


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

    @classmethod
    def read(
        cls, videos: Sequence[str], speech: Sequence[str], corrupted: Sequence[str]
    ) -> "Found":
        """From the JSON files of both."""
        of_videos, of_speech = ([load_json(path) for path in paths] for paths in (videos, speech))
        return cls(of_videos, paired.read_frames(videos), of_speech, list(corrupted))


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
    errors = paired.all_errors(self_driven, found.frames)
    table1 = parts_of(
        "Table 1. Self-driven portraits on the test frames",
        TABLE1_COLUMNS,
        rows,
        [
            *footers_of(
                TABLE1_COLUMNS,
                self_driven,
                [*left_out_lines(self_driven), *conditions, *face_lines(self_driven)],
                ceiling_lines(self_driven),
            ),
            *quoted_lines(quoted),
        ],
        quoted_rows(quoted.get("table1", {}), TABLE1_COLUMNS),
        errors=errors,
    )
    more, movement = (
        parts_of(
            f"Table 1, continued. {title}",
            columns,
            rows,
            footers_of(columns, self_driven, conditions),
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
        head_tables(found.videos, quoted, conditions),
        driven_tables(found.videos, found.corrupted, conditions),
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
    return parts_of(title, SPEECH_COLUMNS, rows_by_part, footers, rows, "recordings")


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
            Found.read(given.videos, given.speech, params.corrupted),
            read_quoted(given.paper) if params.options["has_quoted_rows"] else None,
            provenance.describe(snakemake.config),
            {
                "videos": list(params.rendered),
                "tables": [*written, *params.more_tables],
                "report": params.report,
            },
            dict(output.items()),
        )
