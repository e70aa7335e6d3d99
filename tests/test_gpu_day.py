"""The first minutes on a GPU end in time and leave a page, whatever a part does."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from benchmarks import gpu_day, gpu_day_parts, gpu_day_training
from wildtalker_core.training import optimise

ABOUT = {"command": "a test", "size": 40, "tiny": True}
WRITES = 'import sys; open(sys.argv[2], \'a\').write(\'{"kernel": "made", "error": 0.25}\\n\')'
HANGS = (
    WRITES
    + """
import signal, subprocess, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"])
print("child", child.pid, flush=True)
time.sleep(300)
"""
)


def part(name: str, code: str, limit: float = 60) -> gpu_day.Part:
    return gpu_day.Part(name, [sys.executable, "-c", code], limit)


def is_running(pid: int) -> bool:
    """Whether a process lives; one that nobody has asked for its end does not."""
    path = Path(f"/proc/{pid}/stat")
    return path.exists() and path.read_text().rsplit(")", 1)[1].split()[0] != "Z"


def test_a_hanging_part_is_cut_off_and_the_page_is_written(tmp_path):
    started = time.monotonic()
    results = gpu_day.run_parts(
        [part("hangs", HANGS, 3), part("fails", "import sys; sys.exit('no such card')"),
         part("works", WRITES)],
        started + 60, tmp_path, dict(ABOUT),
    )  # fmt: skip
    assert time.monotonic() - started < 40
    assert [r["state"] for r in results] == ["cut off at its limit", "failed (1)", "done"]
    page = (tmp_path / "page.md").read_text()
    assert page.count("| made | 0.25 |") == 2 and "no such card" in page
    assert json.loads((tmp_path / "results.json").read_text())["parts"] == results
    if sys.platform == "linux":
        assert not is_running(int(results[0]["log"][-1].split()[1]))


def test_the_whole_ends_in_time_and_the_last_part_has_its_share(tmp_path):
    started = time.monotonic()
    results = gpu_day.run_parts(
        [part(name, "import time; time.sleep(300)") for name in ("a", "b", "last")],
        started + 10, tmp_path, dict(ABOUT),
    )  # fmt: skip
    assert time.monotonic() - started < 10
    assert [r["state"] for r in results] == [
        "cut off at its limit", "not run: no time left", "cut off at its limit",
    ]  # fmt: skip
    assert results[-1]["seconds"] > 2.5
    assert "| b | not run: no time left | 0.0 |" in (tmp_path / "page.md").read_text()


def test_half_a_row_of_a_part_that_was_killed_is_left_out(tmp_path):
    (tmp_path / "rows").write_text('{"a": 1}\n{"a": ')
    assert list(gpu_day._rows(tmp_path / "rows")) == [{"a": 1}]


@pytest.fixture
def rows(tmp_path, monkeypatch):
    """Runs a part here, on the CPU and in the smallest size; returns its rows."""
    monkeypatch.setattr(optimise, "progress", optimise.progress)  # parts replace it

    def run(kind: str, name: str, seconds: float = 300):
        path = tmp_path / "rows.jsonl"
        ends = str(time.time() + seconds)
        gpu_day_parts.KINDS[kind](gpu_day_parts.Part("cpu", "40", "1", ends, str(path)), name)
        return [json.loads(line) for line in path.read_text().splitlines()]

    return run


@pytest.mark.parametrize(
    ("kind", "name"),
    [("hash_grid", "numba"), ("rasteriser", "numba"), ("photometric_loss", "all")],
)
def test_kernels_agree_with_their_definitions(rows, kind, name):
    found = rows(kind, name)
    assert found and all(row["agrees"] and row["milliseconds"] > 0 for row in found)


def test_a_wrong_kernel_and_one_that_is_not_finite_are_named(tmp_path):
    told = gpu_day_parts.Part("cpu", "40", "1", "0", str(tmp_path / "rows"))
    right = {"a": torch.ones(3, dtype=torch.float64), "b": torch.ones(3, dtype=torch.float64)}
    for wrong in (1.01, float("nan")):
        gpu_day_parts.compare(told, "k", right | {"b": wrong * right["b"]}, right, lambda: None)
    for line in (tmp_path / "rows").read_text().splitlines():
        row = json.loads(line)
        assert not row["agrees"] and row["worst"] == "b"


@pytest.mark.slow
def test_every_stage_is_tried(rows):
    found = rows("preset", "er_nerf") and rows("splats", "fast")
    assert [(row["stage"], row["steps"]) for row in found] == [
        ("head", 10), ("lips", 4), ("torso", 10), ("splats", 10),
    ]  # fmt: skip
    assert all(row["loss"] > 0 and row["ms a step"] > 0 for row in found)


@pytest.mark.slow
def test_the_longest_part_trains_as_long_as_there_is_time_and_renders(rows):
    trained, rendered = rows("longest", "paper", 20)
    assert trained["steps"] > 1
    assert rendered["frames a second"] > 0 and rendered["pixels"] == 40


def test_idle_time_of_a_card_is_what_its_kernels_leave(monkeypatch):
    now = [0.0]
    ended = []

    class Profile:
        def __init__(self, activities):
            assert activities == [torch.profiler.ProfilerActivity.CUDA]

        def __enter__(self):
            now[0] += 50  # it takes its time to start, and to end
            return self

        def __exit__(self, *_):
            now[0] += 50
            ended.append(now[0])

        def key_averages(self):
            return [SimpleNamespace(self_device_time_total=k * 1e6) for k in (1.0, 0.5)]

    monkeypatch.setattr(gpu_day_training, "profile", Profile)
    monkeypatch.setattr(gpu_day_training.time, "perf_counter", lambda: now[0])
    card = SimpleNamespace(device=SimpleNamespace(type="cuda"), synchronise=lambda: None)
    watched = gpu_day_training.Watched(card, time.time() + 60, range(2, 4))
    for _ in watched(range(6), "head"):
        now[0] += 1
    assert watched.waiting == pytest.approx(0.25)  # 1.5 of 2 seconds busy
    assert watched.milliseconds == [1000] * 4 and len(ended) == 1


@pytest.mark.slow
def test_dry_run_on_the_cpu_ends_in_time(tmp_path):
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "benchmarks/gpu_day.py", "--device", "cpu", "--seconds", "80", "--tiny",
         "--size", "40", "--out", tmp_path],
        cwd=gpu_day.ROOT, capture_output=True, text=True, timeout=150,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert time.monotonic() - started < 85
    results = json.loads((tmp_path / "results.json").read_text())["parts"]
    names = [r["part"] for r in results]
    assert names[0] == "look_around" and names[-1] == "longest_paper"
    assert {"hash_grid_numba", "rasteriser_numba", "preset_paper", "preset_ad_nerf"} < set(names)
    assert not [r for r in results if r["state"].startswith("failed")]
    page = (tmp_path / "page.md").read_text()
    assert all(f"| {name} |" in page for name in names)
