"""config/paper.yaml on made-up data: the whole plan, and tables in the paper's layout."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import yaml

from tests.conftest import ROOT
from tests.report.conftest import MADE_WITH, speech_score, video_score
from wildtalker_core.media.video_writer import VideoWriter
from workflow_scripts import configuration, shared_heads
from workflow_scripts.report import tabulate
from workflow_scripts.score_tables import read_quoted

CONFIG_DIR = ROOT / "config"
USER_CONFIG = yaml.safe_load((CONFIG_DIR / "paper.yaml").read_text())
CONFIG = configuration.complete_config(USER_CONFIG, CONFIG_DIR)
NUMBERS = read_quoted(str(CONFIG_DIR / "paper_numbers.yaml"))
NOISES = CONFIG["evaluate"]["test_corruptions"]
HEADS = ["head", *(f"head_{name}" for name in NOISES)]
TABLE1, TABLE2 = CONFIG["report"]["table1"], CONFIG["report"]["table2"]
BASELINES = configuration.BASELINES
TRAINED = [name for name, of in CONFIG["methods"].items() if of["kind"] == "nerf"]
EXTERNAL = [name for name, of in CONFIG["methods"].items() if of["kind"] == "external"]


def place_made_up_data(folder: Path) -> None:
    """A tiny clip or recording for everything that the config names."""
    with VideoWriter(folder / "tiny.mp4", 25) as video:
        for level in range(4):
            video.append(np.full((64, 64, 3), 50 * level, np.uint8))
    soundfile.write(folder / "tiny.wav", 0.1 * np.sin(np.arange(1600)), 16000)
    files = [clip["path"] for clip in CONFIG["clips"].values()] + [CONFIG["robustness"]["path"]]
    files += [drive["path"] for drive in CONFIG["drive"].values()]
    files += [
        c["noise_path"] for c in CONFIG["speech"]["corruptions"].values() if "noise_path" in c
    ]
    for name in EXTERNAL:
        settings = ["self_driven", *(f"self_driven_{noise}" for noise in NOISES)]
        files += [
            f"{CONFIG['methods'][name]['path']}/{clip}/{setting}.mp4"
            for clip in CONFIG["clips"]
            for setting in settings
        ]
    for name in files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes((folder / f"tiny{Path(name).suffix}").read_bytes())


@pytest.fixture(scope="module")
def plan(tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("paper")
    place_made_up_data(folder)
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", "-n", "--quiet", "rules", "--snakefile",
         ROOT / "Snakefile", "--configfile", ROOT / "config" / "paper.yaml", "--directory", folder],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def count(plan: str, rule: str) -> int:
    found = re.search(rf"^{rule}\s+(\d+)$", plan, re.M)
    return int(found[1]) if found else 0


def n_heads(methods: list[str]) -> int:
    """Heads that are trained for these methods: some share one."""
    views = {name: method_options(name) for name in TRAINED}
    return len({shared_heads.head_owner(name, views) for name in methods})


def test_every_method_of_every_clip_is_rendered_and_scored(plan):
    n_clips, n_strengths = len(CONFIG["clips"]), len(CONFIG["robustness"]["strengths"])
    robust, n_trained = CONFIG["robustness"]["methods"], len(TRAINED)
    assert set(TRAINED) == set(TABLE1)
    assert count(plan, "train_torso") == n_clips * n_trained + n_strengths * len(robust)
    assert count(plan, "train_head") == n_clips * n_heads(TRAINED) + n_strengths * n_heads(robust)
    # The four ablations of the mask and raw_flow have wildtalker's head.
    assert n_heads(TRAINED) == n_trained - 4
    # One method of each clip also shows frames that it was trained on.
    shown = len(set(TRAINED) & set(TABLE2)) * len(HEADS)
    assert count(plan, "render_portrait") == (
        n_clips * (n_trained + shown + 1) + n_strengths * len(robust)
    )
    assert count(plan, "copy_external") == n_clips * len(EXTERNAL) * len(HEADS)
    # The ground truth of the spoiled clips is the clean clip's, once.
    assert count(plan, "render_baseline") == n_clips * len(BASELINES) + 1
    n_scored = len(BASELINES) + len(TABLE1) + len(HEADS) * len(TABLE2) + 1
    assert count(plan, "score_render") == n_clips * n_scored + n_strengths * len(robust) + 1


def test_masks_are_made_once_for_all_methods_that_have_them(plan):
    """Ours, which the reference is made with, the paper's, and the paper's with all flow."""
    n_clips, n_strengths = len(CONFIG["clips"]), len(CONFIG["robustness"]["strengths"])
    for rule in ("estimate_flow", "accumulate_transient_masks", "remove_hands"):
        assert count(plan, rule) == 3 * n_clips + 2 * n_strengths, rule


def test_wildtalker_is_the_papers_method_and_ours_stands_beside_it():
    paper, ours = method_options("wildtalker"), method_options("ours")
    assert paper["speech"]["denoiser"] == "mss"
    mask = {key: paper["occlusion"][key] for key in ("decay", "direction", "use_hands", "inpaint")}
    assert mask == {
        "decay": "adaptive", "direction": "forward", "use_hands": False, "inpaint": "lama"
    }  # fmt: skip
    assert paper["train"]["model"]["lip_feature"] == "audio"
    assert ours["speech"]["denoiser"] == "mss_adaptive" and ours["occlusion"]["decay"] == "memory"
    assert not method_options("raw_flow")["occlusion"]["beyond_rigid"]


def test_ablations_take_away_one_thing_each():
    whole = method_options("wildtalker")
    keys = ("static_weight", "torso_reference")
    taken = {
        "mask_only": ("one_minus_mask", "frames"),
        "inpaint_only": ("none", "hand_free"),
        "no_transient_mask": ("none", "frames"),
    }
    for name, values in taken.items():
        view = method_options(name)
        assert tuple(view["train"][key] for key in keys) == values
        for key in keys:
            view["train"][key] = whole["train"][key]
        assert view == whole, f"{name} differs in nothing else"
    no_mss = method_options("no_mss")
    no_mss["speech"]["denoiser"] = "mss"
    assert no_mss == whole


def test_every_strength_is_a_clip_of_its_own(plan):
    strengths = [s for s in CONFIG["robustness"]["strengths"] if s]
    assert count(plan, "spoil_clip") == len(strengths)
    assert count(plan, "extract_frames") == len(CONFIG["clips"]) + 1


def test_the_nerf_peers_are_trained_here_each_with_its_own_parts():
    views = {name: method_options(name) for name in ("ad_nerf", "rad_nerf", "er_nerf", "synctalk")}
    for name, view in views.items():
        assert CONFIG["methods"][name]["kind"] == "nerf"
        assert view["speech"]["denoiser"] == "none", name
        train = view["train"]
        assert (train["static_weight"], train["torso_reference"]) == ("none", "frames"), name
        assert train["model"]["lip_feature"] == "audio", name
    parts = {
        name: (view["train"]["model"]["position_encoding"], view["train"]["model"]["conditioning"])
        for name, view in views.items()
    }
    assert parts == {
        "ad_nerf": ("frequency", "concatenate"),
        "rad_nerf": ("grid_3d", "ambient"),
        "er_nerf": ("tri_plane", "region_attention"),
        "synctalk": ("tri_plane", "region_attention"),
    }


def method_options(name: str) -> dict:
    return configuration.method_view(USER_CONFIG, CONFIG, name, CONFIG_DIR)


def test_every_denoiser_is_scored_on_every_corruption(plan):
    n_denoisers, n_corruptions = len(CONFIG["report"]["denoisers"]), len(
        CONFIG["speech"]["corruptions"]
    )  # fmt: skip
    assert count(plan, "score_speech") == len(CONFIG["clips"]) * n_corruptions * n_denoisers


def test_weights_are_fetched_once_each(plan):
    assert count(plan, "fetch_weights") >= 3


def test_test_speech_is_corrupted_by_recorded_noise():
    corruptions = CONFIG["speech"]["corruptions"]
    assert len(NOISES) >= 3 and sum("noise_path" in corruptions[name] for name in NOISES) >= 2


def test_its_rows_are_the_papers_in_the_papers_order():
    assert TABLE1[: len(NUMBERS["table1"])] == list(NUMBERS["table1"])
    assert TABLE2[: len(NUMBERS["table2"])] == list(NUMBERS["table2"])


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Path:
    """The tables of made-up scores for every video that the plan would score."""
    folder = tmp_path_factory.mktemp("tables")
    videos = []
    for clip in CONFIG["clips"]:
        for i, method in enumerate([*BASELINES, *TABLE1]):
            videos.append(video_score(clip, method, "self_driven", 20.0 + i))
        videos.append(video_score(clip, "wildtalker", "training_frames", 50.0))
        for setting in HEADS:
            for i, method in enumerate(TABLE2):
                score = video_score(clip, method, setting, 3.0 + i - (setting != "head"))
                score["scores"]["lse_d"] = {"value": 9.0 - 0.1 * i, "backend": "SyncNet"}
                videos.append(score)
    for score in videos:
        score["kind"] = "external" if score["method"] in EXTERNAL else score["kind"]
    speech = [
        speech_score(clip, corruption, denoiser, 2.0 + i)
        for clip in CONFIG["clips"]
        for corruption in CONFIG["speech"]["corruptions"]
        for i, denoiser in enumerate(CONFIG["report"]["denoisers"])
    ]
    outputs = {f"table{i}_{form}": str(folder / f"table{i}.{form}")
               for i in (1, 2, 3) for form in ("tsv", "md", "tex")}  # fmt: skip
    outputs |= {name: str(folder / name) for name in ("scores", "summary", "provenance")}
    places = {"videos": [], "tables": [], "report": ""}
    tabulate.main(tabulate.Found(videos, {}, speech), NUMBERS, MADE_WITH, places, outputs)
    return folder


def headings(table: str) -> list[str]:
    """Of a LaTeX table, without arrows."""
    line = next(line for line in table.splitlines() if line.startswith("Method"))
    return [re.sub(r"\s*\$.*?\$", "", cell).strip(" \\") for cell in line.split("&")][1:]


def row_names(table: str) -> list[str]:
    lines = table.split(r"\bottomrule")[0].split(r"\midrule", 1)[1].splitlines()
    return [line.split(" & ")[0].replace(r"\_", "_") for line in lines if " & " in line]


def test_table1_comes_out_in_the_papers_layout(written):
    mean = (written / "table1.tex").read_text().split(r"\end{table}")[0]
    assert headings(mean)[:7] == ["PSNR", "LPIPS", "LMD", "AUE", "LSE-C", "LSE-D", "hours"]
    rows = row_names(mean)
    leading = ["ground_truth", "wildtalker, seen frames", "nearest_landmarks", "mean_frame"]
    assert rows[: len(leading)] == leading
    assert rows[4:9] == list(NUMBERS["table1"])
    assert [row for row in rows if "(quoted)" in row] == [
        f"{name} (quoted)" for name in NUMBERS["table1"]
    ]
    # The last row of ours has the largest made-up score: bold; the ceiling's is larger still.
    assert re.search(r"no\\_transient\\_mask & \\textbf\{33\.00\}", mean)
    assert re.search(r"seen frames & 50\.00", mean)


def test_table2_has_original_and_corrupted_side_by_side(written):
    mean = (written / "table2.tex").read_text().split(r"\end{table}")[0]
    groups = next(line for line in mean.splitlines() if "multicolumn" in line)
    assert groups.index("original") < groups.index("corrupted")
    n = len(headings(mean)) // 2
    assert headings(mean)[:3] == ["AUE", "LSE-C", "LSE-D"]
    assert headings(mean)[:n] == headings(mean)[n:]
    assert rf"\cmidrule(lr){{2-{n + 1}}}" in mean
    assert row_names(mean)[1:12] == list(NUMBERS["table2"])
    lines = (written / "table2.tsv").read_text().splitlines()
    header = lines[0].split("\t")
    wildtalker = dict(zip(header, next(
        line for line in lines if line.startswith("wildtalker\t")).split("\t"), strict=True
    ))  # fmt: skip
    assert float(wildtalker["original:lip_audio_correlation"]) == pytest.approx(13.0)
    assert float(wildtalker["corrupted:lip_audio_correlation"]) == pytest.approx(12.0)
    assert "original AUE" in (written / "table2.md").read_text()


def test_table3_comes_out_in_the_papers_layout(written):
    mean = (written / "table3.tex").read_text().split(r"\end{table}")[0]
    assert headings(mean)[:4] == ["PESQ", "CSIG", "CBAK", "COVL"]
    assert row_names(mean)[:2] == ["ground_truth", "noisy"]
    assert "cmgan (quoted)" in row_names(mean)
