"""Tables 1 to 3 from made-up scores."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tests.conftest import ROOT
from tests.report.conftest import video_score
from wildtalker_core.metrics.tables import ranks
from workflow_scripts import lip_tables, score_tables
from workflow_scripts.report import tabulate
from workflow_scripts.report.tabulate import Found, build_tables, summarise
from workflow_scripts.score_tables import kind_of, read_quoted

QUOTED = read_quoted(str(ROOT / "config" / "paper_numbers.yaml"))


def values(table, key):
    return {(row.name, row.kind): row.scores[key].value for row in table.rows}


def test_mean_over_clips_then_each_clip(video_scores, speech_scores, made_with):
    tables = build_tables(Found(video_scores, {}, speech_scores), QUOTED, made_with)
    mean, anna, bert = tables.table1
    assert values(mean, "psnr_db")["wildtalker", "measured"] == 31
    assert values(anna, "psnr_db")["wildtalker", "measured"] == 30
    assert values(bert, "psnr_db")["wildtalker", "measured"] == 32
    assert "mean over 2 clips" in mean.title and anna.title.endswith("anna")


def test_rows_in_order_and_the_papers_below(video_scores, speech_scores, made_with):
    table = build_tables(Found(video_scores, {}, speech_scores), QUOTED, made_with).table1[0]
    ours = [row.name for row in table.rows if row.kind != "quoted"]
    assert ours == ["ground_truth", "mean_frame", "wildtalker", "no_mss"]
    assert [row.kind for row in table.rows][-5:] == ["quoted"] * 5
    quoted = values(table, "psnr_db")
    assert quoted["synctalk", "quoted"] == 24.580
    best = [row.name for i, row in enumerate(table.rows) if ranks(table).get((i, "psnr_db")) == 1]
    assert best == ["wildtalker"], "neither the ground truth (46) nor a quoted row"


def test_footers_tell_the_conditions(video_scores, speech_scores, made_with):
    text = " ".join(
        build_tables(Found(video_scores, {}, speech_scores), QUOTED, made_with).table1[0].footers
    )
    for words in ("mode portrait", "trained on cpu", "seed 0", "commit 0123456789", "a processor",
                  "backends:", "quoted:", "no face found in 3 of 50"):  # fmt: skip
        assert words in text, words


def head_scores(levels: dict[str, float], method: str = "wildtalker") -> list[dict]:
    return [
        video_score(clip, method, setting, level)
        for clip in ("anna", "bert")
        for setting, level in levels.items()
    ]


def test_table2_is_the_papers(video_scores, made_with):
    """The head, with the clip's speech and with that corrupted by two noises, AUE first."""
    heads = head_scores({"head": 5.0, "head_cafe": 4.0, "head_street": 2.0})
    heads += head_scores({"head": 4.0, "head_cafe": 3.0, "head_street": 3.0}, "no_mss")
    mean, anna, bert = build_tables(
        Found([*video_scores, *heads], {}, []), QUOTED, made_with
    ).table2
    shown = [column.full_heading for column in mean.columns]
    assert shown[:3] == ["original AUE", "original LSE-C", "original LSE-D"]
    assert shown[4:7] == ["corrupted AUE", "corrupted LSE-C", "corrupted LSE-D"]
    ours = [row.name for row in mean.rows if row.kind != "quoted"]
    assert ours == ["ground_truth", "wildtalker", "no_mss"]
    assert values(mean, "original:aue_mean")["wildtalker", "measured"] == 5
    assert values(mean, "corrupted:aue_mean")["wildtalker", "measured"] == 3
    assert values(anna, "corrupted:aue_mean")["ground_truth", "ground_truth"] == 45
    quoted = values(mean, "corrupted:lse_d")
    assert quoted["ip_lap", "quoted"] == 10.632 and quoted["wildtalker", "quoted"] == 7.889
    assert [name for name, kind in quoted if kind == "quoted"] == list(QUOTED["table2"])
    alone = head_scores({"head": 5.0})
    plain = build_tables(Found([*video_scores, *alone], {}, []), QUOTED, made_with).table2[0]
    assert [column.heading for column in plain.columns][:3] == ["AUE", "LSE-C", "LSE-D"]
    assert values(plain, "lse_c")["talklip", "quoted"] == 6.219


def test_driven_portraits_have_the_real_video(video_scores, speech_scores, made_with):
    found = Found(video_scores, {}, speech_scores)
    mean, *parts = build_tables(found, QUOTED, made_with).driven
    assert [part.title.split(": ")[1] for part in parts] == ["greeting on anna", "greeting on bert"]
    assert [row.name for row in parts[0].rows] == ["ground_truth", "wildtalker", "no_mss"]
    assert not [row for row in mean.rows if row.kind == "quoted"]


def test_rows_are_compared_frame_by_frame(video_scores, made_with):
    """One row is always .2 dB better than the other, while frames differ by 10 dB."""
    rng = np.random.default_rng(0)
    scores = [dict(s, block_frames=10) for s in video_scores if s["setting"] == "self_driven"]
    frames = {}
    for clip in ("anna", "bert"):
        hard = pd.Series(30 + 10 * rng.standard_normal(200))
        for method, less in (("wildtalker", 0.0), ("no_mss", 0.2), ("mean_frame", 8.0)):
            noise = 0.01 * rng.standard_normal(200)
            frames[clip, method, "self_driven"] = pd.DataFrame({"psnr_db": hard - less + noise})
    for s in scores:
        if (s["clip"], s["method"], s["setting"]) in frames:
            value = frames[s["clip"], s["method"], "self_driven"]["psnr_db"].mean()
            s["scores"]["psnr_db"] = {"value": value, "backend": "own", "standard_error": 1.5}
    tables = build_tables(Found(scores, frames, []), None, made_with)
    found = tables.differences[0].rows
    assert [row.name for row in found] == ["mean_frame less wildtalker", "no_mss less wildtalker"]
    score = found[1].scores["psnr_db"]
    assert score.value == pytest.approx(-0.2, abs=0.005)
    assert 0.0002 < score.standard_error < 0.002, "of 400 differences with .014 dB of noise"
    assert ranks(tables.differences[0]) == {}
    places = ranks(tables.table1[0])
    names = [row.name for row in tables.table1[0].rows]
    assert places[names.index("wildtalker"), "psnr_db"] == 1
    assert places[names.index("no_mss"), "psnr_db"] == 2, "no tie, though both errors are 1.5 dB"
    frameless = ranks(build_tables(Found(scores, {}, []), None, made_with).table1[0])
    assert frameless[names.index("no_mss"), "psnr_db"] == 1
    assert any("blocks of 10 frames" in line for line in tables.table1[0].footers)


def test_who_does_not_compete_and_what_is_left_out_is_said(video_scores, made_with):
    """An oracle with the best LMD, and an ablation of the torso under the same head."""
    more = []
    for clip in ("anna", "bert"):
        oracle = video_score(clip, "nearest_landmarks", "self_driven", 0.1)
        torso = video_score(clip, "no_transient_mask", "self_driven", 25.0)
        more += [oracle | {"kind": "baseline"}, torso | {"head_of": "wildtalker"}]
    scores = [
        dict(s, n_left_out=3) if s["clip"] == "anna" else s
        for s in video_scores
        if s["setting"] == "self_driven"
    ]
    scores = [s | {"head_of": s["method"]} if s["kind"] == "nerf" else s for s in scores]
    table = build_tables(Found([*scores, *more], {}, []), None, made_with).table1[0]
    places, names = ranks(table), [row.name for row in table.rows]
    assert names[1] == "nearest_landmarks", "beside the ground truth, above those that compete"
    assert not [key for i, key in places if names[i] in ("nearest_landmarks", "ground_truth")]
    own, shared = names.index("wildtalker"), names.index("no_transient_mask")
    assert places.get((own, "lmd_px")) == places.get((shared, "lmd_px"))
    assert places[own, "psnr_db"] != places.get((shared, "psnr_db"))
    text = " ".join(table.footers)
    assert "an oracle" in text
    assert "no_transient_mask: has the head of wildtalker" in text
    assert "anna: 3 frames beside the 50 scored ones left out" in text and "bert: 3" not in text


def test_every_score_is_a_row_of_one_tidy_table(video_scores):
    table = tabulate.tidy_scores(video_scores)
    mine = table.query("clip == 'anna' and method == 'no_mss' and score == 'ssim'")
    assert mine.set_index("setting")["value"].to_dict() == {
        "self_driven": 28.0, "drive_greeting": 1.0
    }  # fmt: skip
    assert len(table) == sum(len(s["scores"]) for s in video_scores)


def test_table3(video_scores, speech_scores, made_with):
    table = build_tables(Found(video_scores, {}, speech_scores), QUOTED, made_with).table3[0]
    found = values(table, "pesq")
    assert found["noisy", "measured"] == 2.0 and found["mss", "measured"] == 2.5
    assert table.rows[0].name == "ground_truth" and found["ground_truth", "ground_truth"] == 4.6
    assert found["cmgan", "quoted"] == 3.41


def test_nothing_to_drive_and_nothing_clean(video_scores, made_with):
    """The smallest run has neither; its tables say so instead of failing."""
    alone = [s for s in video_scores if s["setting"] == "self_driven" and s["clip"] == "anna"]
    tables = build_tables(Found(alone, {}, []), None, made_with)
    assert "drive:" in tables.driven[0].footers[0] and not tables.driven[0].rows
    assert "no head was rendered" in tables.table2[0].footers[0] and not tables.table2[0].rows
    assert "no clean reference" in tables.table3[0].footers[0]
    assert len(tables.table1) == 1


def test_files(video_scores, speech_scores, made_with, tmp_path):
    names = [f"table{i}_{kind}" for i in (1, 2, 3) for kind in ("tsv", "md", "tex")]
    names += [
        "more_tsv",
        "more_md",
        "movement_tsv",
        "movement_md",
        "summary",
        "provenance",
        "scores",
    ]
    names += ["differences_tsv", "differences_md", "driven_tsv", "driven_md", "driven_tex"]
    outputs = {name: str(tmp_path / name) for name in names}
    places = {"videos": ["a.mp4"], "tables": ["table1.md"], "report": "report.html"}
    tabulate.main(Found(video_scores, {}, speech_scores), QUOTED, made_with, places, outputs)
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
        ("table2", lip_tables.grouped_columns(score_tables.HEAD_COLUMNS)),
        ("table3", score_tables.SPEECH_COLUMNS),
    ):
        known = {column.key for column in columns}
        for row in score_tables.quoted_rows(QUOTED[table], columns):
            assert [score.value for score in row.scores.values()].count(None) < len(known)
        for of in QUOTED[table].values():
            nested = [(k, v if isinstance(v, dict) else {}) for k, v in of.items()]
            keys = [f"{k}:{sub}" if v else k for k, v in nested for sub in v or [""]]
            assert set(keys) <= known


def test_quoted_tables_are_whole():
    """All rows of the paper's tables, none with a figure twice by a slip of copying."""
    assert [len(QUOTED[table]) for table in ("table1", "table2", "table3")] == [5, 11, 10]
    assert all(len(of) == 4 for of in QUOTED["table3"].values())
    groups = [of[g] for of in QUOTED["table2"].values() for g in ("original", "corrupted")]
    assert len({tuple(group.values()) for group in groups}) == 22


def test_explanations_are_of_columns_that_exist():
    columns = (*score_tables.TABLE1_COLUMNS, *score_tables.MORE_COLUMNS, *score_tables.SYNC_COLUMNS,
               *score_tables.SPEECH_COLUMNS, *score_tables.HEAD_COLUMNS,
               *score_tables.MOVEMENT_COLUMNS)  # fmt: skip
    assert set(score_tables.EXPLANATIONS) <= {column.key for column in columns}


def test_summary_fits_a_terminal(video_scores, speech_scores, made_with):
    tables = build_tables(Found(video_scores, {}, speech_scores), QUOTED, made_with)
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
    table = build_tables(
        Found([*video_scores, *seen], {}, speech_scores), QUOTED, made_with
    ).table1[0]
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
    corrupted = ["drive_b_cafe"]
    found = Found([*self_driven, *driven], {}, speech_scores, corrupted)
    mean, anna, bert = build_tables(found, None, made_with).driven
    assert values(mean, "original:lip_audio_correlation")["wildtalker", "measured"] == 5
    assert values(mean, "corrupted:lip_audio_correlation")["wildtalker", "measured"] == 1
    truth = values(anna, "corrupted:lip_audio_correlation")["ground_truth", "ground_truth"]
    assert truth == 45 and anna.title.endswith("anna")
    found = Found([*self_driven, *driven[2:3]], {}, speech_scores, corrupted)
    only = build_tables(found, None, made_with).driven[0]
    row = next(row for row in only.rows if row.name == "wildtalker")
    assert "no original" in row.scores["original:lip_audio_correlation"].reason
