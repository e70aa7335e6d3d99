"""How a table of scores is written: tab-separated, Markdown, LaTeX, text for a terminal, HTML."""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from wildtalker_core.metrics.tables import Column, Score, Table, ranks


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
    cell: Callable[[str, int, Score], str],
    escape: Callable[[str], str] = str,
    has_errors: bool = True,
    has_groups: bool = True,
) -> _Grid:
    """The one place where values become texts.

    Args:
        cell: (escaped text, place 1 or 2 or else 0, score) -> the text of a cell.
    """
    letters, reasons = _reasons(table)
    places = ranks(table)
    lines = []
    for i, row in enumerate(table.rows):
        label = f"{row.name} (quoted)" if row.kind == "quoted" else row.name
        scores = [(row.scores[c.key], c) for c in table.columns]
        cells = [
            cell(escape(_shown(score, c, letters, has_errors)), places.get((i, c.key), 0), score)
            for score, c in scores
        ]
        lines.append([escape(label), *cells])
    names = [c.full_heading if has_groups else c.heading for c in table.columns]
    head = [f"{name} {c.arrow}".strip() for name, c in zip(names, table.columns, strict=True)]
    notes = [*reasons, *table.footers]
    return _Grid([escape(text) for text in head], lines, [escape(n) for n in notes], bool(places))


def _marked(unmarked: str, best: str, second: str) -> Callable[[str, int, Score], str]:
    """Cells that show their place alone, by templates."""
    return lambda text, place, _: (unmarked, best, second)[place].format(text)


def to_markdown(table: Table) -> str:
    """A Markdown table; best **bold**, second <ins>underlined</ins>."""
    grid = _grid(table, _marked("{}", "**{}**", "<ins>{}</ins>"))
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
    marked = _marked("{}", r"\textbf{{{}}}", r"\underline{{{}}}")
    grid = _grid(table, marked, _escape, has_groups=False)
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
    grid = _grid(table, _marked("{} ", "{}*", "{}'"), has_errors=False)
    cells = [["method", *(f"{heading} " for heading in grid.head)], *grid.lines]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
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


def to_html(table: Table) -> str:
    """A sortable ``<table>``: cells carry their value in ``data-value``, empty where there is none.

    All texts are escaped.
    """

    def cell(text: str, place: int, score: Score) -> str:
        mark = ("", " best", " second")[place]
        value = "" if score.value is None else repr(float(score.value))
        title = f' title="{html.escape(score.reason)}"' if score.value is None else ""
        return f'<td class="number{mark}" data-value="{value}"{title}>{text}</td>'

    grid = _grid(table, cell, html.escape)
    head = "".join(
        f'<th class="number" data-better="{c.better}">'
        f'<button type="button">{html.escape(c.full_heading)}'
        f'<span class="arrow">{c.arrow}</span></button></th>'
        for c in table.columns
    )
    body = "".join(
        f'<tr class="{row.kind}"><td data-value="{i}">{label}</td>{"".join(cells)}</tr>'
        for i, (row, (label, *cells)) in enumerate(zip(table.rows, grid.lines, strict=True))
    )
    return (
        f'<table class="scores"><caption>{html.escape(table.title)}</caption><thead><tr>'
        f'<th><button type="button">method</button></th>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table>"
        f'<ul class="notes">{"".join(f"<li>{note}</li>" for note in grid.notes)}</ul>'
    )


def _shown(score: Score, column: Column, letters: Mapping[str, str], has_error: bool) -> str:
    if score.value is None:
        return f"n/a {letters[score.reason]}"
    text = f"{score.value:.{column.n_digits}f}"
    if not has_error or score.standard_error is None:
        return text
    return f"{text} ±{score.standard_error:.{column.n_digits}f}"


def _reasons(table: Table) -> tuple[dict[str, str], list[str]]:
    """The letter of each distinct reason of an n/a, and notes that say where it stands and why."""
    headings: dict[str, dict[str, None]] = {}
    for row in table.rows:
        for column in table.columns:
            score = row.scores[column.key]
            if score.value is None:
                headings.setdefault(score.reason, {})[column.full_heading] = None
    letters = {reason: _letter(i) for i, reason in enumerate(headings)}
    lines = [
        f"n/a {letters[reason]}: {', '.join(under)}: {reason}" for reason, under in headings.items()
    ]
    return letters, lines


def _letter(number: int) -> str:
    """a ... z, aa, ab, ..."""
    return (_letter(number // 26 - 1) if number >= 26 else "") + chr(ord("a") + number % 26)


def _escape(text: str) -> str:
    """LaTeX's special characters made harmless."""
    special = {
        "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
        "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
        "↑": r"$\uparrow$", "↓": r"$\downarrow$", "±": r"$\pm$", "α": r"$\alpha$", "θ": r"$\theta$",
    }  # fmt: skip
    return "".join(special.get(character, character) for character in text)
