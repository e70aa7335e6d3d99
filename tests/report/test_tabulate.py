"""Tables 1 to 3 from made-up scores."""

from __future__ import annotations

import pytest

from tests.conftest import ROOT
from tests.report.conftest import video_score
from wildtalker_core.metrics.tables import ranks
from workflow_scripts import score_tables
from workflow_scripts.report import tabulate
from workflow_scripts.report.tabulate import build_tables, summarise
from workflow_scripts.score_tables import kind_of, read_quoted

QUOTED = read_quoted(str(ROOT / "config" / "paper_numbers.yaml"))


def values(table, key):
    return {(row.name, row.kind): row.scores[key].value for row in table.rows}


def test_mean_over_clips_then_each_clip(video_scores, speech_scores, made_with):
    tables = build_tables(video_scores, speech_scores, QUOTED, made_with)
    mean, anna, bert = tables.table1
    assert values(mean, "psnr_db")["wildtalker", "measured"] == 31
    assert values(anna, "psnr_db")["wildtalker", "measured"] == 30
    assert values(bert, "psnr_db")["wildtalker", "measured"] == 32
    assert "mean over 2 clips" in mean.title and anna.title.endswith("anna")


def test_rows_in_order_and_the_papers_below(video_scores, speech_scores, made_with):
    table = build_tables(video_scores, speech_scores, QUOTED, made_with).table1[0]
    ours = [row.name for row in table.rows if row.kind != "quoted"]
    assert ours == ["ground_truth", "mean_frame", "wildtalker", "no_mss"]
    assert [row.kind for row in table.rows][-5:] == ["quoted"] * 5
    quoted = values(table, "psnr_db")
    assert quoted["synctalk", "quoted"] == 24.580
    best = [row.name for i, row in enumerate(table.rows) if ranks(table).get((i, "psnr_db")) == 1]
    assert best == ["wildtalker"], "neither the ground truth (46) nor a quoted row"


def test_footers_tell_the_conditions(video_scores, speech_scores, made_with):
    text = " ".join(build_tables(video_scores, speech_scores, QUOTED, made_with).table1[0].footers)
    for words in ("mode portrait", "trained on cpu", "seed 0", "commit 0123456789", "a processor",
                  "backends:", "quoted:", "no face found in 3 of 50"):  # fmt: skip
        assert words in text, words


def test_table2_has_the_real_video_and_says_what_is_unknown(video_scores, speech_scores, made_with):
    mean, *parts = build_tables(video_scores, speech_scores, QUOTED, made_with).table2
    assert [part.title.split(": ")[1] for part in parts] == ["greeting on anna", "greeting on bert"]
    assert [row.name for row in parts[0].rows] == ["ground_truth", "wildtalker", "no_mss"]
    assert not [row for row in mean.rows if row.kind == "quoted"], "eleven rows of n/a say nothing"
    said = next(line for line in mean.footers if "not available to us" in line)
    assert all(name in said for name in QUOTED["table2"])


def test_table3(video_scores, speech_scores, made_with):
    table = build_tables(video_scores, speech_scores, QUOTED, made_with).table3[0]
    found = values(table, "pesq")
    assert found["noisy", "measured"] == 2.0 and found["mss", "measured"] == 2.5
    assert table.rows[0].name == "ground_truth" and found["ground_truth", "ground_truth"] == 4.6
    assert found["cmgan", "quoted"] == 3.41


def test_nothing_to_drive_and_nothing_clean(video_scores, made_with):
    """The smallest run has neither; its tables say so instead of failing."""
    alone = [s for s in video_scores if s["setting"] == "self_driven" and s["clip"] == "anna"]
    tables = build_tables(alone, [], None, made_with)
    assert "drive:" in tables.table2[0].footers[0] and not tables.table2[0].rows
    assert "no clean reference" in tables.table3[0].footers[0]
    assert len(tables.table1) == 1


def test_files(video_scores, speech_scores, made_with, tmp_path):
    names = [f"table{i}_{kind}" for i in (1, 2, 3) for kind in ("tsv", "md", "tex")]
    names += ["more_tsv", "more_md", "summary", "provenance"]
    outputs = {name: str(tmp_path / name) for name in names}
    places = {"videos": ["a.mp4"], "tables": ["table1.md"], "report": "report.html"}
    tabulate.main(video_scores, speech_scores, QUOTED, made_with, places, outputs)
    for name in names:
        assert (tmp_path / name).stat().st_size > 40, name
    summary = (tmp_path / "summary").read_text()
    for words in ("a.mp4", "table1.md", "report.html", "wildtalker", "31.00*"):
        assert words in summary
    assert (tmp_path / "table1_tex").read_text().count(r"\begin{table}") == 3


def test_quoted_numbers_name_our_columns():
    """A mistyped key in paper_numbers.yaml would silently be n/a."""
    for table, columns in (
        ("table1", score_tables.TABLE1_COLUMNS),
        ("table3", score_tables.SPEECH_COLUMNS),
    ):
        known = {column.key for column in columns}
        for row in QUOTED[table].values():
            assert set(row) <= known


def test_explanations_are_of_columns_that_exist():
    columns = (*score_tables.TABLE1_COLUMNS, *score_tables.MORE_COLUMNS, *score_tables.SYNC_COLUMNS,
               *score_tables.SPEECH_COLUMNS)  # fmt: skip
    assert set(score_tables.EXPLANATIONS) <= {column.key for column in columns}


def test_summary_fits_a_terminal(video_scores, speech_scores, made_with):
    tables = build_tables(video_scores, speech_scores, QUOTED, made_with)
    text = summarise(tables, {"videos": [], "tables": [], "report": "r"})
    table_lines = [line for line in text.splitlines() if line.startswith(("wild", "mean", "meth"))]
    assert max(map(len, table_lines)) <= 130


@pytest.mark.parametrize("method", ["ground_truth", "mean_frame", "wildtalker"])
def test_kind(video_scores, method):
    score = next(s for s in video_scores if s["method"] == method)
    expected = {"ground_truth": "ground_truth", "mean_frame": "baseline"}.get(method, "measured")
    assert kind_of(score) == expected


def test_a_ceiling_stands_below_the_truth_and_never_wins(video_scores, speech_scores, made_with):
    seen = [video_score(clip, "wildtalker", "training_frames", 44.0) for clip in ("anna", "bert")]
    table = build_tables([*video_scores, *seen], speech_scores, QUOTED, made_with).table1[0]
    names = [row.name for row in table.rows if row.kind != "quoted"]
    assert names[:3] == ["ground_truth", "wildtalker, seen frames", "mean_frame"]
    assert values(table, "psnr_db")["wildtalker, seen frames", "ceiling"] == 44
    assert (1, "psnr_db") not in ranks(table)
    assert any("a ceiling" in line for line in table.footers)


def test_original_and_corrupted_speech_stand_side_by_side(video_scores, speech_scores, made_with):
    """Means over each group; the real video's own speech under both; an empty group says so."""
    drives = {"drive_a": 4.0, "drive_b": 6.0, "drive_b_cafe": 1.0}
    self_driven = [s for s in video_scores if s["setting"] == "self_driven"]
    driven = [
        video_score(clip, "wildtalker", setting, level)
        for clip in ("anna", "bert")
        for setting, level in drives.items()
    ]
    tables = build_tables([*self_driven, *driven], speech_scores, None, made_with, ["drive_b_cafe"])
    mean, anna, bert = tables.table2
    assert values(mean, "original:lip_audio_correlation")["wildtalker", "measured"] == 5
    assert values(mean, "corrupted:lip_audio_correlation")["wildtalker", "measured"] == 1
    truth = values(anna, "corrupted:lip_audio_correlation")["ground_truth", "ground_truth"]
    assert truth == 45 and anna.title.endswith("anna")
    only = build_tables([*self_driven, *driven[2:3]], speech_scores, None, made_with,
                        ["drive_b_cafe"]).table2[0]  # fmt: skip
    row = next(row for row in only.rows if row.name == "wildtalker")
    assert "no original" in row.scores["original:lip_audio_correlation"].reason
