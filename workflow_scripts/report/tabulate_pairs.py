"""Scores of every file of a set of pairs → Table 3 on it: means, intervals, the paper's beside."""

import csv
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from wildtalker_core.metrics.tables import Column, Row, RowKind, Score, Table
from workflow_scripts import provenance
from workflow_scripts.denoisers import ROW_NAMES
from workflow_scripts.job import job
from workflow_scripts.score_tables import (
    hardware_lines,
    quoted_lines,
    quoted_rows,
    read_quoted,
    write_tables,
)

COLUMNS = (
    Column("pesq", "PESQ", "higher", 3),
    Column("csig", "CSIG", "higher", 3),
    Column("cbak", "CBAK", "higher", 3),
    Column("covl", "COVL", "higher", 3),
    Column("stoi", "STOI", "higher", 4),
    Column("si_sdr_db", "SI-SDR", "higher", 2),
    Column("segmental_snr_db", "segSNR", "higher", 2),
)
UNRANKED = tuple(Column(c.key, c.heading, "none", c.n_digits) for c in COLUMNS)
#: Of the bootstrap over files.
N_RESAMPLES, SHARE = 10_000, 0.95
NOTES = (
    "16 kHz; PESQ wide band (pesq package); CSIG, CBAK, COVL after Hu and Loizou 2008; STOI "
    "(pystoi package); SI-SDR and segmental SNR in dB",
)

#: Scores of one enhancer: {file: {key: value}}, and its notes {file: text}.
Files = dict[str, dict[str, float]]


def main(
    score_paths: Sequence[str],
    names: Sequence[str],
    external: Sequence[str],
    quoted: Mapping[str, Any] | None,
    made_with: Mapping[str, Any],
    outputs: Mapping[str, str],
) -> None:
    """Write the tables as tsv, Markdown and LaTeX.

    Args:
        score_paths: of score_speech_pairs, one for each of ``names``.
        external: those of ``names`` that are methods outside.
        quoted: config/paper_numbers.yaml, or None for our own rows alone.
        outputs: paths by name: tsv, md, tex.
    """
    scores, notes = {}, {}
    for name, path in zip(names, score_paths, strict=True):
        scores[name], notes[name] = read_scores(path)
    write_tables(build_tables(scores, notes, external, quoted, made_with), outputs)


def build_tables(
    scores: Mapping[str, Files],
    notes: Mapping[str, Mapping[str, str]],
    external: Sequence[str],
    quoted: Mapping[str, Any] | None,
    made_with: Mapping[str, Any],
) -> list[Table]:
    """Means over all files, the ends of their intervals, and means over what each incomplete
    method has: a mean over other files would not compare."""
    files = list(next(iter(scores.values())))
    title = f"Table 3. Speech enhancement on {len(files)} pairs"
    footers = [*NOTES, *note_lines(notes), *hardware_lines([], made_with)]
    quoted = quoted or {}
    paper = quoted_rows(quoted.get("table3", {}), COLUMNS)
    rows = {name: {f: s for f, s in of.items() if s} for name, of in scores.items()}
    tables = [
        Table(
            f"{title}, mean",
            COLUMNS,
            [*rows_of(rows, files, external, mean), *paper],
            [*footers, *quoted_lines(quoted)],
        )
    ]
    share = f"{round(100 * SHARE)} %"
    for end, which in (("lower", 0), ("upper", 1)):
        tables.append(
            Table(
                f"{title}, {end} end of the {share} interval of the mean (bootstrap over files)",
                UNRANKED,
                rows_of(rows, files, external, lambda values, k=which: interval(values)[k]),
                (),
                f"{end} end",
            )
        )
    for name in external:
        if len(rows[name]) in (0, len(files)):
            continue
        part = f"the {len(rows[name])} files of {name}"
        tables.append(
            Table(
                f"Table 3. Speech enhancement on {part}, mean",
                COLUMNS,
                rows_of(rows, list(rows[name]), external, mean),
                (),
                part,
            )
        )
    return tables


def rows_of(
    scores: Mapping[str, Files], files: Sequence[str], external: Sequence[str], summary: Any
) -> list[Row]:
    """A row for each enhancer, all over the same files.

    A file on which one of our own rows has no such score (PESQ finds no utterance) counts for none;
    a method outside that lacks further ones is n/a.
    """
    ours = [of for name, of in scores.items() if name not in external]
    used = {
        c.key: [f for f in files if all(c.key in of.get(f, {}) for of in ours)] for c in COLUMNS
    }
    result = []
    for name, of in scores.items():
        cells = {}
        for column in COLUMNS:
            wanted = used[column.key]
            values = [of[f][column.key] for f in wanted if column.key in of.get(f, {})]
            n_lacking = len(wanted) - len(values)
            if values and not n_lacking:
                cells[column.key] = Score(summary(np.array(values)))
            elif values:
                reason = f"{n_lacking} of {len(wanted)} files have no such score"
                cells[column.key] = Score(None, reason)
            else:
                cells[column.key] = Score(None, "no file has such a score")
        kind: RowKind = "external" if name in external else "measured"
        result.append(Row(ROW_NAMES.get(name, name), kind, cells))
    return result


def mean(values: np.ndarray) -> float:
    return float(values.mean())


def interval(values: np.ndarray) -> tuple[float, float]:
    """Ends of the 95 % percentile bootstrap interval of the mean over files [n]."""
    rng = np.random.default_rng(0)
    # In blocks: a thousand files times ten thousand resamples would be 80 MB at once.
    means = np.concatenate(
        [
            values[rng.integers(len(values), size=(N_RESAMPLES // 10, len(values)))].mean(axis=1)
            for _ in range(10)
        ]
    )
    lower, upper = np.quantile(means, [0.5 - SHARE / 2, 0.5 + SHARE / 2])
    return float(lower), float(upper)


def note_lines(notes: Mapping[str, Mapping[str, str]]) -> list[str]:
    """Why files have no score: the first one of each row and how many."""
    return [
        f"{name}: {len(of)} files without some score, the first is {next(iter(of))}: "
        f"{next(iter(of.values()))}"
        for name, of in notes.items()
        if of
    ]


def read_scores(path: str) -> tuple[Files, dict[str, str]]:
    """Scores and notes by file, from the table of score_speech_pairs."""
    with Path(path).open(newline="") as file:
        lines = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    scores = {
        line["file"]: {
            key: float(cell)
            for key, cell in line.items()
            if key not in ("file", "note") and cell != "n/a" and math.isfinite(float(cell))
        }
        for line in lines
    }
    return scores, {line["file"]: line["note"] for line in lines if line["note"]}


if __name__ == "__main__":
    with job(snakemake):
        main(
            list(snakemake.input.scores),
            list(snakemake.params.rows),
            list(snakemake.params.external),
            read_quoted(snakemake.input.paper)
            if snakemake.params.options["has_quoted_rows"]
            else None,
            provenance.describe(snakemake.config),
            dict(snakemake.output.items()),
        )
