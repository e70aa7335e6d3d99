"""Tables of several clips or recordings: the mean over these parts first, then each part."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from wildtalker_core.metrics.tables import Column, Row, Table, mean_row

#: {(row, other row, score): standard error of their difference}
Errors = Mapping[tuple[str, str, str], float]


def parts_of(
    title: str,
    columns: Sequence[Column],
    rows_by_part: Mapping[str, Sequence[Row]],
    footers: Sequence[str],
    quoted: Sequence[Row] = (),
    parts_name: str = "clips",
    suffix: str = "",
    errors: Mapping[str, Errors] | None = None,
) -> list[Table]:
    """The one part's table; or the mean over parts, then each part's; footers under the first.

    Args:
        quoted: rows below the first table's own.
        suffix: of every title, behind what the table is of.
        errors: by part, standard errors of differences between rows.
    """
    errors = errors or {}
    tables = [
        Table(f"{title}: {part}{suffix}", columns, rows, (), part, errors.get(part, {}))
        for part, rows in rows_by_part.items()
    ]
    if len(tables) > 1:
        by_name: dict[str, list[Row]] = {}
        for row in (row for table in tables for row in table.rows):
            by_name.setdefault(row.name, []).append(row)
        whole = f"{title}, mean over {len(tables)} {parts_name}{suffix}"
        means = [mean_row(same) for same in by_name.values()]
        of_means = errors_of_means([table.paired_errors for table in tables])
        tables.insert(0, Table(whole, columns, means, paired_errors=of_means))
    tables[0] = replace(tables[0], rows=[*tables[0].rows, *quoted], footers=footers)
    return tables


def errors_of_means(parts: Sequence[Errors]) -> Errors:
    """Standard errors of the differences between means over independent clips."""
    shared = set.intersection(*map(set, parts))
    return {key: math.hypot(*(part[key] for part in parts)) / len(parts) for key in shared}
