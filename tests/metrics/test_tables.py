"""Tables: who is best among whom, n/a with reasons, and each way to write them."""

from __future__ import annotations

import csv
import io
import shutil
import subprocess

import pytest

from wildtalker_core.metrics import table_forms, tables
from wildtalker_core.metrics.tables import Column, Row, Score, Table

COLUMNS = (Column("psnr", "PSNR", "higher", 2), Column("lmd", "LMD_x", "lower", 1),
           Column("lag", "lag", "none", 0))  # fmt: skip


def row(name: str, kind: str, psnr: float | None, lmd: float | None) -> Row:
    def score(value):
        return Score(value) if value is not None else Score(None, f"no weights for {name} & co")

    return Row(name, kind, {"psnr": score(psnr), "lmd": score(lmd), "lag": Score(1.0)})


@pytest.fixture
def table() -> Table:
    return Table(
        "Table 1. 100 % made_up",
        COLUMNS,
        [
            row("ground_truth", "ground_truth", 50, 0.1),
            row("mean_frame", "baseline", 20, 3.0),
            row("ours", "measured", 30, 1.04),
            row("no_mask", "measured", 29, 1.01),
            row("theirs", "external", None, 2.0),
            row("ours", "quoted", 99, 0.0),
        ],
        ["seed 0; commit abc"],
    )


def test_only_what_was_measured_here_competes(table):
    places = tables.ranks(table)
    assert places[2, "psnr"] == 1 and places[3, "psnr"] == 2
    assert not any(i in (0, 5) for i, _ in places), "neither ground truth nor quoted rows"
    assert not any(key == "lag" for _, key in places)


def test_equal_digits_share_a_place(table):
    """1.04 and 1.01 both read 1.0: neither may look better; 2.0 is second."""
    places = tables.ranks(table)
    assert places[2, "lmd"] == places[3, "lmd"] == 1
    assert places[4, "lmd"] == 2


def test_a_single_competitor_wins_nothing(table):
    assert tables.ranks(Table("t", COLUMNS, [table.rows[0], table.rows[2]])) == {}


def test_no_value_without_a_reason():
    with pytest.raises(ValueError, match="reason"):
        Score(None)
    with pytest.raises(ValueError, match="finite"):
        Score(float("nan"))
    with pytest.raises(ValueError, match="no weights"):
        _ = Score(None, "no weights").known_value
    with pytest.raises(ValueError, match="lacks lmd"):
        Table("t", COLUMNS, [Row("x", "measured", {"psnr": Score(1.0)})])


def test_mean_over_clips():
    mean = tables.mean_row([row("a", "measured", 20, 1), row("a", "measured", 30, None)])
    assert mean.scores["psnr"].value == 25
    assert mean.scores["lmd"].value is None and "no weights" in mean.scores["lmd"].reason


def test_tsv_reads_back(table):
    text = table_forms.to_tsv([table, Table("b", COLUMNS, table.rows[:1], part="clip_b")])
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    read = list(csv.DictReader(io.StringIO("\n".join(lines)), delimiter="\t"))
    assert [r["part"] for r in read] == ["mean"] * 6 + ["clip_b"]
    assert float(read[3]["lmd"]) == 1.01
    assert read[4]["psnr"] == "n/a (no weights for theirs & co)"
    assert "# seed 0; commit abc" in text


def test_markdown(table):
    text = table_forms.to_markdown(table)
    lines = text.splitlines()
    assert "| ours | **30.00** | **1.0** | 1 |" in lines
    assert "| no_mask | <ins>29.00</ins> | **1.0** | 1 |" in lines
    assert "| ours (quoted) | 99.00 | 0.0 | 1 |" in lines
    assert any(line.startswith("n/a a: PSNR: no weights for theirs & co") for line in lines)
    n_cells = {line.count("|") for line in lines if line.startswith("|")}
    assert n_cells == {5}


def test_text_is_aligned(table):
    lines = table_forms.to_text(table).splitlines()
    body = [line for line in lines if line.startswith(("mean", "ours", "no_mask"))]
    assert {line.index(".") for line in body} == {body[0].index(".")}
    assert "30.00*" in lines[6]


def test_latex_escapes_and_marks(table):
    text = table_forms.to_latex(table)
    assert r"\textbf{30.00}" in text and r"\underline{29.00}" in text
    assert r"100 \% made\_up" in text
    assert r"no weights for theirs \& co" in text
    assert text.count(r"\midrule") == 2, "one above the rows, one above the quoted ones"
    assert text.count("{") == text.count("}")


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no LaTeX on this machine")
def test_latex_compiles(table, tmp_path):
    page = (
        r"\documentclass{article}\usepackage{booktabs}\begin{document}"
        + table_forms.to_latex(table)
        + r"\end{document}"
    )
    (tmp_path / "t.tex").write_text(page)
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "t.tex"]
    assert subprocess.run(command, cwd=tmp_path, capture_output=True).returncode == 0


def test_html_escapes_and_carries_values(table):
    hostile = row("<script>alert(1)</script>", "measured", 1.0, None)
    text = table_forms.to_html(Table("<b>", COLUMNS, [hostile]))
    assert "<script>" not in text and "<b>" not in text
    assert 'data-value="1.0"' in text
    assert 'data-value="" title="no weights' in text


def test_letters_do_not_run_out():
    assert [table_forms._letter(i) for i in (0, 25, 26, 27, 51, 52)] == [
        "a",
        "z",
        "aa",
        "ab",
        "az",
        "ba",
    ]


def ranked(*values: tuple[float, float], paired: dict | None = None, **column) -> list[int]:
    """Places of measured rows by (value, standard error); 0 for none."""
    rows = [
        Row(name, "measured", {"psnr": Score(value, standard_error=error)}, head)
        for name, head, (value, error) in zip(
            "abcd", column.pop("heads", "    "), values, strict=False
        )
    ]
    psnr = Column("psnr", "PSNR", "higher", 2, **column)
    table = Table("t", [psnr], rows, paired_errors=paired or {})
    places = tables.ranks(table)
    return [places.get((i, "psnr"), 0) for i in range(len(rows))]


def test_rows_within_two_errors_of_their_difference_tie():
    """Errors of .3 and .4 make one of .5: a difference of 1.0 is a tie, of 1.01 is none."""
    assert ranked((30.0, 0.3), (29.0, 0.4), (25.0, 0.1)) == [1, 1, 2]
    assert ranked((30.01, 0.3), (29.0, 0.4), (25.0, 0.1)) == [1, 2, 0]


def test_a_paired_error_decides_where_both_rows_have_the_same_frames():
    """Hard frames are hard for both: the difference is known better than either value."""
    apart = {("a", "b", "psnr"): 0.1}
    assert ranked((30.0, 0.5), (29.7, 0.5)) == [1, 1]
    assert ranked((30.0, 0.5), (29.7, 0.5), paired=apart) == [1, 2]


def test_rows_with_one_head_are_one_competitor_for_what_is_of_the_head():
    values = (30.0, 0.0), (29.0, 0.0), (28.0, 0.0)
    assert ranked(*values, heads="xxc", is_of_head=True) == [1, 1, 2]
    assert ranked(*values, heads="xxc", is_of_head=False) == [1, 2, 0]
    assert ranked(*values[:2], heads="xx", is_of_head=True) == [0, 0], "nobody to win against"


def test_an_oracle_does_not_compete(table):
    oracle = row("nearest_landmarks", "oracle", 60, 0.0)
    places = tables.ranks(Table("t", COLUMNS, [*table.rows, oracle]))
    assert places == tables.ranks(table)


def test_errors_stand_beside_values_and_in_their_own_columns():
    scores = {"psnr": Score(30.0, standard_error=0.126), "lmd": Score(1.0), "lag": Score(0.0)}
    shown = Table("t", COLUMNS, [Row("a", "measured", scores)])
    assert "| 30.00 ±0.13 | 1.0 |" in table_forms.to_markdown(shown)
    assert r"30.00 $\pm$0.13" in table_forms.to_latex(shown)
    assert "±" not in table_forms.to_text(shown)
    read = next(csv.DictReader(io.StringIO(table_forms.to_tsv([shown])), delimiter="\t"))
    assert float(read["psnr_se"]) == 0.126 and "lmd_se" not in read


def test_errors_of_independent_clips_add_in_squares():
    rows = [
        Row("a", "measured", {"psnr": Score(value, standard_error=error)})
        for value, error in ((20.0, 0.3), (30.0, 0.4))
    ]
    mean = tables.mean_row(rows).scores["psnr"]
    assert (mean.value, mean.standard_error) == (25.0, pytest.approx(0.25))
