"""Tables of scores: rows of named values, the best marked; as tsv, Markdown, LaTeX, text, HTML.

Only rows that were measured here compete for bold (best) and underlined (second best), each with
all that tie; the ground truth, a ceiling, an oracle and rows quoted from a paper stand beside them.
A score that could not be measured is ``n/a`` with a letter that the footer explains; it is never
left out silently.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
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


def to_tsv(tables: Sequence[Table]) -> str:
    """Tables of the same columns below one another; the column ``part`` tells them apart.

    Tab-separated: every digit, ``n/a`` with its reason in brackets, standard errors in columns
    ``{key}_se`` behind all others, the first table's title and footers as ``#`` lines at the end.
    """
    columns = tables[0].columns
    rows = [(table.part, row) for table in tables for row in table.rows]
    with_error = [
        column.key
        for column in columns
        if any(row.scores[column.key].standard_error is not None for _, row in rows)
    ]
    lines = [
        ["method", "kind", "part", *(c.key for c in columns), *(f"{key}_se" for key in with_error)]
    ]
    for part, row in rows:
        scores = [row.scores[c.key] for c in columns]
        errors = [row.scores[key].standard_error for key in with_error]
        lines.append(
            [row.name, row.kind, part]
            + [f"{s.value:.6g}" if s.value is not None else f"n/a ({s.reason})" for s in scores]
            + ["" if error is None else f"{error:.3g}" for error in errors]
        )
    notes = [f"# {line}" for line in (tables[0].title, *tables[0].footers)]
    return "\n".join(["\t".join(line) for line in lines] + notes) + "\n"


@dataclass(frozen=True)
class _Grid:
    """A table as texts: headings, rows with their label first, notes; is any cell marked?"""

    head: list[str]
    lines: list[list[str]]
    notes: list[str]
    is_ranked: bool


def _grid(
    table: Table,
    mark: Callable[[str, int], str],
    escape: Callable[[str], str] = str,
    has_errors: bool = True,
    has_groups: bool = True,
) -> _Grid:
    """The one place where values become texts.

    Args:
        mark: (text, place 1 or 2) -> the text of a best or second best cell.
    """
    letters, reasons = _reason_letters(table)
    places = ranks(table)
    lines = []
    for i, row in enumerate(table.rows):
        cells = []
        for c in table.columns:
            text = escape(_shown(row.scores[c.key], c, letters, has_errors))
            place = places.get((i, c.key))
            cells.append(mark(text, place) if place else text)
        lines.append([escape(_row_label(row)), *cells])
    names = [c.full_heading if has_groups else c.heading for c in table.columns]
    head = [f"{name} {c.arrow}".strip() for name, c in zip(names, table.columns, strict=True)]
    notes = [*_reason_lines(letters, reasons), *table.footers]
    return _Grid([escape(text) for text in head], lines, [escape(n) for n in notes], bool(places))


def to_markdown(table: Table) -> str:
    """A Markdown table; best **bold**, second <ins>underlined</ins>."""
    marks = {1: "**{}**", 2: "<ins>{}</ins>"}
    grid = _grid(table, lambda text, place: marks[place].format(text))
    lines = [
        f"**{table.title}**",
        "",
        "| " + " | ".join(["method", *grid.head]) + " |",
        "|" + " --- |" + " ---: |" * len(table.columns),
        *("| " + " | ".join(line) + " |" for line in grid.lines),
    ]
    return "\n".join([*lines, "", *(f"{note}  " for note in grid.notes)]) + "\n"


def to_latex(table: Table) -> str:
    """A ``booktabs`` table; best bold, second underlined; notes below the rule."""
    commands = {1: "textbf", 2: "underline"}
    grid = _grid(
        table,
        lambda text, place: rf"\{commands[place]}{{{text}}}",
        _escape,
        has_groups=False,
    )
    lines = [
        r"\begin{table}",
        rf"\caption{{{_escape(table.title)}}}",
        r"\begin{tabular}{l" + "r" * len(table.columns) + "}",
        r"\toprule",
        *_group_lines(table.columns),
        " & ".join(["Method", *grid.head]) + r" \\",
        r"\midrule",
    ]
    for i, cells in enumerate(grid.lines):
        if i == _first_quoted(table):
            lines.append(r"\midrule")
        lines.append(" & ".join(cells) + r" \\")
    lines += [r"\bottomrule", r"\end{tabular}", ""]
    lines += [rf"{{\footnotesize {note}\par}}" for note in grid.notes]
    return "\n".join([*lines, r"\end{table}"]) + "\n"


def _first_quoted(table: Table) -> int | None:
    """Number of the first quoted row where rows of our own stand before it."""
    quoted = [i for i, row in enumerate(table.rows) if row.kind == "quoted"]
    return quoted[0] if quoted and quoted[0] else None


def _group_lines(columns: Sequence[Column]) -> list[str]:
    """LaTeX rows above the headings: each group over its columns, with a rule; none without one."""
    if not any(column.group for column in columns):
        return []
    names, rules, at = [], [], 2
    for group, same in groupby(columns, key=lambda column: column.group):
        n = len(list(same))
        names.append(rf"\multicolumn{{{n}}}{{c}}{{{_escape(group)}}}")
        if group:
            rules.append(rf"\cmidrule(lr){{{at}-{at + n - 1}}}")
        at += n
    return [" & ".join(["", *names]) + r" \\", " ".join(rules)]


def to_text(table: Table) -> str:
    """Aligned columns for a terminal, without errors; best marked ``*``, second ``'``."""
    marks = {1: "*", 2: "'"}
    grid = _grid(table, lambda text, place: text + marks[place], has_errors=False)
    body = [
        [line[0], *(cell if cell[-1] in "*'" else f"{cell} " for cell in line[1:])]
        for line in grid.lines
    ]
    cells = [["method", *(f"{heading} " for heading in grid.head)], *body]
    widths = [max(len(line[j]) for line in cells) for j in range(len(cells[0]))]
    lines = [
        "  ".join(
            [
                line[0].ljust(widths[0]),
                *(cell.rjust(w) for cell, w in zip(line[1:], widths[1:], strict=True)),
            ]
        )
        for line in cells
    ]
    rule = "-" * len(lines[0])
    if first_quoted := _first_quoted(table):
        lines.insert(1 + first_quoted, rule)
    lines.insert(1, rule)
    said = ["* best, ' second best of those measured here, each with all that tie"]
    notes = [*(said if grid.is_ranked else []), *grid.notes]
    return "\n".join([table.title, "", *(line.rstrip() for line in lines), *notes]) + "\n"


def to_html(table: Table, escape: Callable[[str], str]) -> str:
    """A sortable ``<table>``: cells carry their value in ``data-value``, empty where there is none.

    Args:
        escape: makes text safe inside HTML (``html.escape``).
    """
    letters, reasons = _reason_letters(table)
    places = ranks(table)
    head = "".join(
        f'<th class="number" data-better="{c.better}">'
        f'<button type="button">{escape(c.full_heading)}'
        f'<span class="arrow">{c.arrow}</span></button></th>'
        for c in table.columns
    )
    body = []
    for i, row in enumerate(table.rows):
        cells = []
        for c in table.columns:
            score = row.scores[c.key]
            place = {1: " best", 2: " second"}.get(places.get((i, c.key), 0), "")
            value = "" if score.value is None else repr(float(score.value))
            title = f' title="{escape(score.reason)}"' if score.value is None else ""
            cells.append(
                f'<td class="number{place}" data-value="{value}"{title}>'
                f"{escape(_shown(score, c, letters, True))}</td>"
            )
        body.append(
            f'<tr class="{row.kind}"><td data-value="{i}">{escape(_row_label(row))}</td>'
            f"{''.join(cells)}</tr>"
        )
    notes = [*_reason_lines(letters, reasons), *table.footers]
    return (
        f'<table class="scores"><caption>{escape(table.title)}</caption><thead><tr>'
        f'<th><button type="button">method</button></th>{head}</tr></thead>'
        f"<tbody>{''.join(body)}</tbody></table>"
        f'<ul class="notes">{"".join(f"<li>{escape(note)}</li>" for note in notes)}</ul>'
    )


def _shown(score: Score, column: Column, letters: Mapping[str, str], has_error: bool) -> str:
    if score.value is None:
        return f"n/a {letters[score.reason]}"
    text = f"{score.value:.{column.n_digits}f}"
    if not has_error or score.standard_error is None:
        return text
    return f"{text} ±{score.standard_error:.{column.n_digits}f}"


def _row_label(row: Row) -> str:
    return f"{row.name} (quoted)" if row.kind == "quoted" else row.name


def _reason_letters(table: Table) -> tuple[dict[str, str], dict[str, list[str]]]:
    """Each distinct reason of an n/a -> its letter, and -> the headings it stands under."""
    letters: dict[str, str] = {}
    headings: dict[str, list[str]] = {}
    for row in table.rows:
        for column in table.columns:
            score = row.scores[column.key]
            if score.value is None:
                letters.setdefault(score.reason, _letter(len(letters)))
                under = headings.setdefault(score.reason, [])
                if column.full_heading not in under:
                    under.append(column.full_heading)
    return letters, headings


def _letter(number: int) -> str:
    """a ... z, aa, ab, ..."""
    text = ""
    number += 1
    while number:
        number, digit = divmod(number - 1, 26)
        text = chr(ord("a") + digit) + text
    return text


def _reason_lines(letters: Mapping[str, str], headings: Mapping[str, list[str]]) -> list[str]:
    return [
        f"n/a {letter}: {', '.join(headings[reason])}: {reason}"
        for reason, letter in letters.items()
    ]


def _escape(text: str) -> str:
    """LaTeX's special characters made harmless."""
    special = {
        "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
        "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
        "↑": r"$\uparrow$", "↓": r"$\downarrow$", "±": r"$\pm$", "α": r"$\alpha$", "θ": r"$\theta$",
    }  # fmt: skip
    return "".join(special.get(character, character) for character in text)
