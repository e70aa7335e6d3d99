"""Tables of scores: rows of named values, and which of them are best (written by table_forms).

Only rows that were measured here compete for bold (best) and underlined (second best), each with
all that tie; the ground truth, a ceiling, an oracle and rows quoted from a paper stand beside them.
A score that could not be measured is ``n/a`` with a letter that the footer explains; it is never
left out silently.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

RowKind = Literal[
    "ground_truth", "ceiling", "oracle", "baseline", "measured", "external", "quoted", "difference"
]
#: Kinds of rows that are compared with each other.
COMPETING: tuple[RowKind, ...] = ("baseline", "measured", "external")
#: Rows tie where they differ by no more than this many standard errors of their difference.
TIE_ERRORS = 2


@dataclass(frozen=True)
class Column:
    """One score. better: which direction wins, or none. n_digits: decimals shown.

    group: what neighbouring columns have in common, shown above or before their headings.
    is_of_head: whether the score looks at the head alone.
    """

    key: str
    heading: str
    better: Literal["higher", "lower", "none"]
    n_digits: int = 3
    group: str = ""
    is_of_head: bool = False

    @property
    def full_heading(self) -> str:
        return f"{self.group} {self.heading}".strip()

    @property
    def arrow(self) -> str:
        return {"higher": "↑", "lower": "↓", "none": ""}[self.better]


@dataclass(frozen=True)
class Score:
    """A value with its standard error where it is known, or None with the reason for it."""

    value: float | None
    reason: str = ""
    standard_error: float | None = None

    def __post_init__(self) -> None:
        if self.value is None and not self.reason:
            raise ValueError("a score without a value needs a reason")
        if self.value is not None and not np.isfinite(self.value):
            raise ValueError(f"score {self.value} is not finite: give None and a reason")

    @property
    def known_value(self) -> float:
        """The value of a score that must have one."""
        if self.value is None:
            raise ValueError(f"the score has no value: {self.reason}")
        return self.value


@dataclass(frozen=True)
class Row:
    """A method with its scores by column key. head: rows of one head have the same text here."""

    name: str
    kind: RowKind
    scores: Mapping[str, Score]
    head: str = ""


@dataclass(frozen=True)
class Table:
    """title, columns, rows in the order shown, footer lines (provenance, explanations).

    part: which clips the rows are of: a clip's name, or ``mean`` over several.
    paired_errors: {(row's name, other row's name, column key): standard error of the difference},
    where it is known from the same frames of both; else both rows' own errors are added.
    """

    title: str
    columns: Sequence[Column]
    rows: Sequence[Row]
    footers: Sequence[str] = field(default_factory=tuple)
    part: str = "mean"
    paired_errors: Mapping[tuple[str, str, str], float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for row in self.rows:
            missing = [c.key for c in self.columns if c.key not in row.scores]
            if missing:
                raise ValueError(f"{self.title}: row {row.name} lacks {', '.join(missing)}")


def ranks(table: Table) -> dict[tuple[int, str], int]:
    """Places 1 and 2 among the competing rows: {(row number, column key): place}.

    Rows tie with the best, and then with the best of the rest, where the difference is within
    ``TIE_ERRORS`` of its standard errors or is not seen at the shown digits. Rows with one head are
    one competitor in columns that are of the head, by the value of the first of them, and share its
    place. With a single competitor nothing is marked.
    """
    places: dict[tuple[int, str], int] = {}
    for column in table.columns:
        if column.better == "none":
            continue
        groups: dict[str, list[int]] = {}
        for i, row in enumerate(table.rows):
            if row.kind in COMPETING and row.scores[column.key].value is not None:
                is_shared = column.is_of_head and row.head
                groups.setdefault(f"head {row.head}" if is_shared else str(i), []).append(i)
        if len(groups) < 2:
            continue
        sign = -1 if column.better == "higher" else 1
        left = sorted(
            groups.values(), key=lambda of: sign * table.rows[of[0]].scores[column.key].known_value
        )
        for place in (1, 2):
            tied = [of for of in left if is_tie(table, left[0][0], of[0], column)]
            left = [of for of in left if of not in tied]
            places |= {(i, column.key): place for of in tied for i in of}
    return places


def is_tie(table: Table, i: int, j: int, column: Column) -> bool:
    """Whether two rows cannot be told apart in a column."""
    a, b = (table.rows[k].scores[column.key] for k in (i, j))
    if round(a.known_value, column.n_digits) == round(b.known_value, column.n_digits):
        return True
    names = (table.rows[i].name, table.rows[j].name)
    error = table.paired_errors.get((*names, column.key))
    if error is None:
        error = math.hypot(a.standard_error or 0.0, b.standard_error or 0.0)
    return abs(a.known_value - b.known_value) <= TIE_ERRORS * error


def mean_row(rows: Sequence[Row]) -> Row:
    """One method's rows of several clips -> their mean; n/a where any clip has no score."""
    first = rows[0]
    scores = {}
    for key in first.scores:
        values = [row.scores[key] for row in rows]
        lacking = [score for score in values if score.value is None]
        scores[key] = lacking[0] if lacking else mean_score(values)
    return Row(first.name, first.kind, scores, first.head)


def mean_score(scores: Sequence[Score]) -> Score:
    """Mean of scores of several clips; its error has the errors within the clips, not between."""
    errors = [score.standard_error for score in scores if score.standard_error is not None]
    is_known = len(errors) == len(scores)
    return Score(
        float(np.mean([score.known_value for score in scores])),
        standard_error=math.hypot(*errors) / len(errors) if is_known else None,
    )
