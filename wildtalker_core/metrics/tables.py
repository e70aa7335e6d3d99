"""Tables of scores: rows of named values, the best marked; as tsv, Markdown, LaTeX, text, HTML.

Only rows that were measured here compete for bold (best) and underlined (second best); the ground
truth, a ceiling and rows quoted from a paper stand beside them. A score that could not be measured
is ``n/a`` with a letter that the footer explains; it is never left out silently.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Literal

import numpy as np

RowKind = Literal["ground_truth", "ceiling", "baseline", "measured", "external", "quoted"]
#: Kinds of rows that are compared with each other.
COMPETING: tuple[RowKind, ...] = ("baseline", "measured", "external")


@dataclass(frozen=True)
class Column:
    """One score. better: which direction wins, or none. n_digits: decimals shown.

    group: what neighbouring columns have in common, shown above or before their headings.
    """

    key: str
    heading: str
    better: Literal["higher", "lower", "none"]
    n_digits: int = 3
    group: str = ""

    @property
    def full_heading(self) -> str:
        return f"{self.group} {self.heading}".strip()

    @property
    def arrow(self) -> str:
        return {"higher": "↑", "lower": "↓", "none": ""}[self.better]


@dataclass(frozen=True)
class Score:
    """A value, or None with the reason why there is none."""

    value: float | None
    reason: str = ""

    def __post_init__(self) -> None:
        if self.value is None and not self.reason:
            raise ValueError("a score without a value needs a reason")
        if self.value is not None and not np.isfinite(self.value):
            raise ValueError(f"score {self.value} is not finite: give None and a reason")


@dataclass(frozen=True)
class Row:
    """A method with its scores by column key."""

    name: str
    kind: RowKind
    scores: Mapping[str, Score]


@dataclass(frozen=True)
class Table:
    """title, columns, rows in the order shown, footer lines (provenance, explanations).

    part: which clips the rows are of: a clip's name, or ``mean`` over several.
    """

    title: str
    columns: Sequence[Column]
    rows: Sequence[Row]
    footers: Sequence[str] = field(default_factory=tuple)
    part: str = "mean"

    def __post_init__(self) -> None:
        for row in self.rows:
            missing = [c.key for c in self.columns if c.key not in row.scores]
            if missing:
                raise ValueError(f"{self.title}: row {row.name} lacks {', '.join(missing)}")


def ranks(table: Table) -> dict[tuple[int, str], int]:
    """Places 1 and 2 among the competing rows: {(row number, column key): place}.

    Values that look the same at the shown digits share a place: a difference that the table does
    not show cannot make one of them bold. With a single competitor nothing is marked.
    """
    places = {}
    for column in table.columns:
        if column.better == "none":
            continue
        sign = -1 if column.better == "higher" else 1
        shown = {
            i: round(row.scores[column.key].value, column.n_digits)
            for i, row in enumerate(table.rows)
            if row.kind in COMPETING and row.scores[column.key].value is not None
        }
        if len(shown) < 2:
            continue
        distinct = sorted(set(shown.values()), key=lambda value: sign * value)
        for i, value in shown.items():
            if value in distinct[:2]:
                places[i, column.key] = distinct.index(value) + 1
    return places


def mean_row(rows: Sequence[Row]) -> Row:
    """One method's rows of several clips -> their mean; n/a where any clip has no score."""
    first = rows[0]
    scores = {}
    for key in first.scores:
        values = [row.scores[key] for row in rows]
        lacking = [score for score in values if score.value is None]
        scores[key] = lacking[0] if lacking else Score(float(np.mean([s.value for s in values])))
    return Row(first.name, first.kind, scores)


def to_tsv(tables: Sequence[Table]) -> str:
    """Tables of the same columns below one another; the column ``part`` tells them apart.

    Tab-separated: every digit, ``n/a`` with its reason in brackets, the first table's title and
    footers as ``#`` lines at the end.
    """
    columns = tables[0].columns
    lines = ["\t".join(["method", "kind", "part", *(column.key for column in columns)])]
    for table in tables:
        for row in table.rows:
            scores = [row.scores[column.key] for column in columns]
            cells = [
                f"{s.value:.6g}" if s.value is not None else f"n/a ({s.reason})" for s in scores
            ]
            lines.append("\t".join([row.name, row.kind, table.part, *cells]))
    notes = [f"# {line}" for line in (tables[0].title, *tables[0].footers)]
    return "\n".join(lines + notes) + "\n"


def to_markdown(table: Table) -> str:
    """A Markdown table; best **bold**, second <ins>underlined</ins>."""
    letters, reasons = _reason_letters(table)
    places = ranks(table)

    def marked(text: str, place: int | None) -> str:
        return {1: f"**{text}**", 2: f"<ins>{text}</ins>"}.get(place, text)

    head = ["method", *(f"{c.full_heading} {c.arrow}".strip() for c in table.columns)]
    lines = [
        f"**{table.title}**",
        "",
        "| " + " | ".join(head) + " |",
        "|" + " --- |" + " ---: |" * len(table.columns),
    ]
    for i, row in enumerate(table.rows):
        cells = [
            marked(_shown(row.scores[c.key], c, letters), places.get((i, c.key)))
            for c in table.columns
        ]
        lines.append("| " + " | ".join([_row_label(row), *cells]) + " |")
    notes = [*_reason_lines(letters, reasons), *table.footers]
    return "\n".join([*lines, "", *(f"{note}  " for note in notes)]) + "\n"


def to_latex(table: Table) -> str:
    """A ``booktabs`` table; best bold, second underlined; notes below the rule."""
    letters, reasons = _reason_letters(table)
    places = ranks(table)
    arrows = {"↑": r"$\uparrow$", "↓": r"$\downarrow$", "": ""}

    def marked(text: str, place: int | None) -> str:
        return {1: rf"\textbf{{{text}}}", 2: rf"\underline{{{text}}}"}.get(place, text)

    head = ["Method", *(f"{_escape(c.heading)} {arrows[c.arrow]}".strip() for c in table.columns)]
    lines = [
        r"\begin{table}",
        rf"\caption{{{_escape(table.title)}}}",
        r"\begin{tabular}{l" + "r" * len(table.columns) + "}",
        r"\toprule",
        *_group_lines(table.columns),
        " & ".join(head) + r" \\",
        r"\midrule",
    ]
    for i, row in enumerate(table.rows):
        if row.kind == "quoted" and i and table.rows[i - 1].kind != "quoted":
            lines.append(r"\midrule")
        cells = [
            marked(_escape(_shown(row.scores[c.key], c, letters)), places.get((i, c.key)))
            for c in table.columns
        ]
        lines.append(" & ".join([_escape(_row_label(row)), *cells]) + r" \\")
    lines += [r"\bottomrule", r"\end{tabular}", ""]
    notes = [*_reason_lines(letters, reasons), *table.footers]
    lines += [rf"{{\footnotesize {_escape(note)}\par}}" for note in notes]
    return "\n".join([*lines, r"\end{table}"]) + "\n"


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
    """Aligned columns for a terminal; best marked ``*``, second ``'``."""
    letters, reasons = _reason_letters(table)
    places = ranks(table)
    cells = [["method", *(f"{c.full_heading} {c.arrow}".strip() for c in table.columns)]]
    for i, row in enumerate(table.rows):
        cells.append(
            [
                _row_label(row),
                *(
                    _shown(row.scores[c.key], c, letters)
                    + {1: "*", 2: "'"}.get(places.get((i, c.key)), " ")
                    for c in table.columns
                ),
            ]
        )
    cells[0][1:] = [f"{heading} " for heading in cells[0][1:]]
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
    lines.insert(1, "-" * len(lines[0]))
    is_quoted = [row.kind == "quoted" for row in table.rows]
    if any(is_quoted) and not all(is_quoted):
        lines.insert(2 + is_quoted.index(True), "-" * len(lines[0]))
    notes = [*_reason_lines(letters, reasons), *table.footers]
    marks = ["* best, ' second best of those measured here"] if places else []
    return "\n".join([table.title, "", *(line.rstrip() for line in lines), *marks, *notes]) + "\n"


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
            place = {1: " best", 2: " second"}.get(places.get((i, c.key)), "")
            value = "" if score.value is None else repr(float(score.value))
            title = f' title="{escape(score.reason)}"' if score.value is None else ""
            cells.append(
                f'<td class="number{place}" data-value="{value}"{title}>'
                f"{escape(_shown(score, c, letters))}</td>"
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


def _shown(score: Score, column: Column, letters: Mapping[str, str]) -> str:
    if score.value is None:
        return f"n/a {letters[score.reason]}"
    return f"{score.value:.{column.n_digits}f}"


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
