"""Scores → Tables 1 to 3 in the paper's layout, and the lines that a finished run prints."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from wildtalker_core.media.files import atomic_path, load_json, save_json
from wildtalker_core.metrics.tables import (
    Column,
    Row,
    RowKind,
    Score,
    Table,
    mean_row,
    to_latex,
    to_markdown,
    to_text,
    to_tsv,
)
from workflow_scripts import provenance
from workflow_scripts.job import job

TABLE1_COLUMNS = (
    Column("psnr_db", "PSNR", "higher", 2),
    Column("psnr_face_db", "PSNR face", "higher", 2),
    Column("ssim", "SSIM", "higher", 3),
    Column("lpips", "LPIPS", "lower", 3),
    Column("lmd_px", "LMD", "lower", 3),
    Column("aue_mean", "AUE", "lower", 3),
    Column("lse_c", "LSE-C", "higher", 3),
    Column("lse_d", "LSE-D", "lower", 3),
    Column("lip_audio_correlation", "lip-audio", "higher", 2),
    Column("training_hours", "hours", "lower", 3),
)
MORE_COLUMNS = (
    Column("ms_ssim", "MS-SSIM", "higher", 3),
    Column("psnr_lips_db", "PSNR lips", "higher", 2),
    Column("lmd_interocular", "LMD / eyes", "lower", 4),
    Column("mouth_correlation", "mouth opening", "higher", 2),
    Column("lip_audio_lag_frames", "lip-audio lag", "none", 0),
    Column("blendshape_error", "blendshapes", "lower", 4),
    Column("aue_sum", "AUE sum", "lower", 3),
    Column("jitter_px", "jitter", "none", 2),
    Column("seam", "seam", "none", 2),
    Column("ms_per_frame", "ms / frame", "none", 0),
)
SYNC_COLUMNS = (
    Column("lse_d", "LSE-D", "lower", 3),
    Column("lse_c", "LSE-C", "higher", 3),
    Column("lip_audio_correlation", "lip-audio", "higher", 2),
    Column("lip_audio_lag_frames", "lag", "none", 0),
)
SPEECH_COLUMNS = (
    Column("pesq", "PESQ", "higher", 2),
    Column("csig", "CSIG", "higher", 2),
    Column("cbak", "CBAK", "higher", 2),
    Column("covl", "COVL", "higher", 2),
    Column("stoi", "STOI", "higher", 3),
    Column("si_sdr_db", "SI-SDR", "higher", 2),
)
BASELINES = ("mean_frame", "nearest_landmarks")
NOT_QUOTED = "not in the paper's table"
NOT_AVAILABLE = "not available to us"

#: What a reader should know about a column that its heading does not say.
EXPLANATIONS = {
    "psnr_face_db": "PSNR face: inside the box around the face",
    "lmd_px": "LMD: 20 mouth points, each frame's mean removed, pixels at 512x512",
    "aue_mean": "AUE: mean over 17 action units of the squared difference",
    "lip_audio_correlation": (
        "lip-audio: correlation of lower lip and loudness at the best lag; ours, not an LSE, real "
        "clips reach 0.2 to 0.7"
    ),
    "training_hours": "hours: head, lips and torso, without preparation",
    "psnr_lips_db": "PSNR lips: inside the box around the lips",
    "lmd_interocular": "LMD / eyes: LMD as a share of the distance between the outer eye corners",
    "mouth_correlation": "mouth opening: correlation with the reference's over the test frames",
    "lip_audio_lag_frames": "lag: frames by which the mouth follows the voice, 5 at most",
    "blendshape_error": "blendshapes: mean absolute difference of FaceLandmarker's blendshapes",
    "jitter_px": "jitter: mean second difference of rigid landmarks, pixels at 512x512 (what the "
    "ground truth has is the detector's)",
    "seam": "seam: edges at the neck that the reference has not, grey levels per pixel (blur has "
    "none)",
    "ms_per_frame": "ms / frame: rendering only, end to end",
    "stoi": "PESQ is wide band; CSIG, CBAK, COVL after Hu and Loizou 2008",
}


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
) -> None:
    """Write every table and the summary.

    Args:
        video_scores: results of score_render, in the order of the rows.
        speech_scores: results of score_speech, in the order of the rows.
        quoted: config/paper_numbers.yaml, or None for tables of our own rows alone.
        made_with: of :func:`provenance.describe`.
        places: paths that the summary names: ``videos``, ``tables`` (lists), ``report``.
        outputs: paths by name: table1_tsv, ..., table3_tex, more_tsv, more_md, summary, provenance.
    """
    tables = build_tables(video_scores, speech_scores, quoted, made_with)
    for name in ("table1", "table2", "table3", "more"):
        parts = getattr(tables, name)
        write(outputs[f"{name}_tsv"], to_tsv(parts))
        write(outputs[f"{name}_md"], "\n".join(map(to_markdown, parts)))
        if f"{name}_tex" in outputs:
            write(outputs[f"{name}_tex"], "\n".join(map(to_latex, parts)))
    save_json(outputs["provenance"], made_with)
    write(outputs["summary"], summarise(tables, places))


def build_tables(
    video_scores: Sequence[dict[str, Any]],
    speech_scores: Sequence[dict[str, Any]],
    quoted: Mapping[str, Any] | None,
    made_with: Mapping[str, Any],
) -> Tables:
    quoted = quoted or {}
    self_driven = [s for s in video_scores if s["setting"] == "self_driven"]
    rows = {clip: video_rows(self_driven, clip) for clip in names_of(self_driven, "clip")}
    footers = [
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
        [*explain(MORE_COLUMNS), *backend_lines(self_driven, MORE_COLUMNS)],
    )
    return Tables(
        table1,
        more,
        driven_tables(video_scores, quoted, made_with),
        speech_tables(speech_scores, quoted, made_with),
    )


def video_rows(scores: Sequence[dict[str, Any]], clip: str) -> list[Row]:
    return [row_of(s["method"], kind_of(s), s["scores"]) for s in scores if s["clip"] == clip]


def row_of(name: str, kind: RowKind, scores: Mapping[str, Mapping[str, Any]]) -> Row:
    return Row(
        name, kind, {key: Score(s["value"], s.get("reason") or "") for key, s in scores.items()}
    )


def kind_of(scores: Mapping[str, Any]) -> RowKind:
    if scores["method"] == "ground_truth":
        return "ground_truth"
    if scores["method"] in BASELINES:
        return "baseline"
    return "external" if scores["kind"] == "external" else "measured"


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
) -> list[Table]:
    """Table 2: a part for each driving speech (and clip); the real video leads as orientation."""
    driven = [s for s in video_scores if s["setting"] != "self_driven"]
    clips = names_of(video_scores, "clip")
    rows_by_part: dict[str, list[Row]] = {}
    for setting in names_of(driven, "setting"):
        for clip in clips:
            part = setting.removeprefix("drive_")
            part = part if len(clips) == 1 else f"{part} on {clip}"
            real = [
                replace(row_of("ground_truth", "ground_truth", s["scores"]))
                for s in video_scores
                if (s["clip"], s["method"], s["setting"]) == (clip, "ground_truth", "self_driven")
            ]
            ours = [
                row_of(s["method"], kind_of(s), s["scores"])
                for s in driven
                if s["clip"] == clip and s["setting"] == setting
            ]
            rows_by_part[part] = real + ours
    rows = [
        Row(name, "quoted", {c.key: Score(None, NOT_AVAILABLE) for c in SYNC_COLUMNS})
        for name in quoted.get("table2", [])
    ]
    footers = [
        "ground_truth: the real video with its own speech (no video of the driving speech exists)",
        *explain(SYNC_COLUMNS),
        *hardware_lines(video_scores, made_with),
        *backend_lines(driven, SYNC_COLUMNS),
    ]
    if rows:
        footers.append("quoted: rows of the paper's Table 2, whose numbers are not available to us")
    title = "Table 2. Portraits driven by other speech"
    if not rows_by_part:
        note = "nothing was driven by other speech: the config's `drive:` is empty"
        return [Table(title, SYNC_COLUMNS, rows, [note, *footers])]
    return parts_of(title, SYNC_COLUMNS, rows_by_part, rows, footers, "driving speeches")


def speech_tables(
    speech_scores: Sequence[dict[str, Any]],
    quoted: Mapping[str, Any],
    made_with: Mapping[str, Any],
) -> list[Table]:
    """Table 3: a part for each speech of each clip that has a clean reference."""
    rows_by_part: dict[str, list[Row]] = {}
    for s in speech_scores:
        name = "noisy" if s["denoiser"] == "none" else s["denoiser"]
        row = row_of(name, "measured", s["scores"])
        rows_by_part.setdefault(f"{s['clip']}, {s['speech']} speech", []).append(row)
    rows = quoted_rows(quoted.get("table3", {}), SPEECH_COLUMNS)
    title = "Table 3. Speech enhancement"
    footers = [
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


def quoted_rows(numbers: Mapping[str, Any], columns: Sequence[Column]) -> list[Row]:
    rows = []
    for name, known in numbers.items():
        scores = {}
        for column in columns:
            value = known.get(column.key)
            if value is not None:
                scores[column.key] = Score(float(value))
            else:
                reason = "a dash in the paper" if column.key in known else NOT_QUOTED
                scores[column.key] = Score(None, reason)
        rows.append(Row(name, "quoted", scores))
    return rows


def quoted_lines(quoted: Mapping[str, Any]) -> list[str]:
    if not quoted:
        return []
    return [
        "quoted: the paper's own numbers, on other clips and another machine; not ranked with ours"
    ]


def hardware_lines(scores: Sequence[Mapping[str, Any]], made_with: Mapping[str, Any]) -> list[str]:
    """Mode, hardware, seed, commit and code: the conditions of every number above."""
    trained = [s for s in scores if kind_of(s) == "measured"]
    parts = []
    for label, key in (("mode", "mode"), ("trained on", "training_device"), ("seed", "seed")):
        values = names_of(trained, key)
        if values:
            parts.append(f"{label} {', '.join(map(str, values))}")
    parts.append(f"{made_with['cpu']}, {made_with['n_cores']} cores, GPU {made_with['gpu']}")
    parts.append(f"commit {made_with['commit']}, code {made_with['code_digest']}")
    return ["; ".join(parts)]


def face_lines(scores: Sequence[Mapping[str, Any]]) -> list[str]:
    """Renders in which a face was not found: their landmark scores are of the other frames."""
    return [
        f"{s['method']} on {s['clip']}: no face found in {s['n_faceless_frames']} of "
        f"{s['n_frames']} rendered frames; landmark scores are of the others, if any"
        for s in scores
        if s["n_faceless_frames"]
    ]


def backend_lines(scores: Sequence[Mapping[str, Any]], columns: Sequence[Column]) -> list[str]:
    """One line: which program measured which columns."""
    headings: dict[str, list[str]] = {}
    for column in columns:
        # Wall clocks differ by row (device, stages); the column's explanation says what they are.
        if column.key in ("training_hours", "ms_per_frame"):
            continue
        found = [s["scores"][column.key] for s in scores if column.key in s["scores"]]
        backends = " | ".join(sorted({f["backend"] for f in found if f["backend"]}))
        if backends:
            headings.setdefault(backends, []).append(column.heading)
    parts = [f"{', '.join(names)}: {backends}" for backends, names in headings.items()]
    return [f"backends: {'; '.join(parts)}"] if parts else []


def explain(columns: Sequence[Column]) -> list[str]:
    found = [EXPLANATIONS[column.key] for column in columns if column.key in EXPLANATIONS]
    return ["; ".join(found)] if found else []


def names_of(scores: Sequence[Mapping[str, Any]], key: str) -> list[Any]:
    """Distinct values of an entry, in order."""
    return list(dict.fromkeys(s[key] for s in scores if s.get(key) is not None))


def summarise(tables: Tables, places: Mapping[str, Any]) -> str:
    """What a finished run prints: where to look, and the main table."""
    main_table = tables.table1[0]
    # A terminal has no room for the footers; they stand in the files.
    short = replace(main_table, footers=explain(main_table.columns))
    videos, written = ("\n".join(f"  {path}" for path in places[k]) for k in ("videos", "tables"))
    return f"{to_text(short)}\nvideos\n{videos}\ntables\n{written}\nreport\n  {places['report']}\n"


def write(path: str, text: str) -> None:
    with atomic_path(path) as partial:
        partial.write_text(text)


def read_quoted(path: str) -> dict[str, Any]:
    return yaml.safe_load(Path(path).read_text())


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
                "tables": [getattr(snakemake.output, f"table{i}_md") for i in (1, 2, 3)],
                "report": snakemake.params.report,
            },
            dict(snakemake.output.items()),
        )
