"""How long each rule ran and how much memory it took: Snakemake's benchmark files → tables."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

from wildtalker_core.metrics.tables import Column, Row, Score, Table

#: The column of Snakemake's files that each of ours shows.
SNAKEMAKE = {"seconds": "s", "cpu_seconds": "cpu_time", "memory_mb": "max_rss"}
COLUMNS = (
    Column("seconds", "seconds", "lower", 1),
    Column("cpu_seconds", "CPU seconds", "lower", 1),
    Column("memory_mb", "memory MB", "lower", 0),
)


def runtime_tables(benchmarks: Mapping[str, Sequence[str]]) -> list[Table]:
    """Snakemake's benchmark files by clip → a table for each clip, longest first.

    Raises KeyError if Snakemake has renamed a column.
    """
    tables = []
    for clip, paths in benchmarks.items():
        rows = []
        for path in paths:
            with open(path, newline="") as file:
                measured = next(csv.DictReader(file, delimiter="\t"))
            scores = {key: measured_score(measured[name]) for key, name in SNAKEMAKE.items()}
            rows.append(Row(Path(path).stem, "quoted", scores))
        rows.sort(key=lambda row: -(row.scores["seconds"].value or 0.0))
        if rows:
            tables.append(Table(f"Run times of {clip}", COLUMNS, rows, (), clip))
    return tables


def measured_score(text: str) -> Score:
    try:
        return Score(float(text))
    except ValueError:
        return Score(None, "too short to be sampled")
