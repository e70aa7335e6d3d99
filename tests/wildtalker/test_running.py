"""Runs of Snakemake as they are watched: its own events, bars, and the line of a failure."""

from __future__ import annotations

import io
import sys

import pytest

from wildtalker.commands.make import tell
from wildtalker.running import Progress, WatchedRun, stage_of

SNAKEFILE = """
rule all:
    input: "b.txt"

rule split_frames:
    output: "a.txt"
    shell: "echo 'warning: a.mp4: is odd' >&2; touch {output}"

rule track_head:
    input: "a.txt"
    output: "b.txt"
    shell: "CHANGED"
"""


def watched(folder, shell, **options):
    (folder / "Snakefile").write_text(SNAKEFILE.replace("CHANGED", shell))
    command = [sys.executable, "-m", "snakemake", "--cores", "1", "--logger", "events"]
    run = WatchedRun(command, folder, **options)
    return run.wait(), run.progress


def test_jobs_are_counted_by_stage(tmp_path):
    stages = []
    status, progress = watched(
        tmp_path, "touch {output}", told=lambda p, e: stages.append(dict(p.n_done))
    )
    assert status == 0 and progress.failure is None
    assert progress.n_jobs == progress.n_done == {"media": 1, "person": 1, "all": 1}
    assert {"media": 1} in stages  # told as it happens, not at the end
    assert progress.warnings == ["warning: a.mp4: is odd"]


def test_a_failed_jobs_own_line_is_the_failure(tmp_path):
    echo = io.BytesIO()
    status, progress = watched(
        tmp_path, "echo 'error: b.mp4: is no video; film one' >&2; exit 1", echo=echo
    )
    assert status == 1 and progress.failure == "error: b.mp4: is no video; film one"
    assert progress.failure.encode() in echo.getvalue()


def test_a_killed_job_is_named(tmp_path):
    status, progress = watched(tmp_path, "kill -9 $$")
    assert status == 1 and progress.error is None
    assert progress.failure.startswith("error: track_head: ")


def test_what_stops_snakemake_itself_is_one_line(tmp_path):
    status, progress = watched(tmp_path, "{nothing_of_this_name}")
    assert status == 1 and "nothing_of_this_name" in progress.failure
    assert "\n" not in progress.failure


def test_bars_are_read_from_a_terminal(tmp_path):
    (tmp_path / "bar.py").write_text(
        "import sys\nfrom tqdm import tqdm\n"
        "assert sys.stderr.isatty()\n"
        "for _ in tqdm(range(4), desc='finding faces', mininterval=0): pass\n"
    )
    run = WatchedRun([sys.executable, "bar.py"], tmp_path)
    assert run.wait() == 0, run.progress
    assert run.progress.bar == ("finding faces", 100)


def test_stop_ends_the_jobs_too(tmp_path):
    folder = tmp_path
    (folder / "Snakefile").write_text(SNAKEFILE.replace("CHANGED", "echo $$ > pid; sleep 60"))
    command = [sys.executable, "-m", "snakemake", "--cores", "1", "--logger", "events"]
    run = WatchedRun(
        command, folder, told=lambda p, e: "track_head" in p.running.values() and run.stop()
    )
    assert run.wait() != 0
    assert not (folder / "b.txt").exists()


@pytest.mark.parametrize(
    ("rule", "stage"),
    [("track_head", "person"), ("pack_portrait", "train"), ("try_weights", "evaluate"),
     ("all", "all")],
)  # fmt: skip
def test_stages_of_rules(rule, stage):
    assert stage_of(rule) == stage


def test_make_tells_each_job(capsys):
    progress = Progress()
    for event in (
        {"event": "run_info", "stats": {"split_frames": 1, "track_head": 1, "total": 2}},
        {"event": "job_info", "jobid": 7, "rule_name": "split_frames"},
        {"event": "job_finished", "job_id": 7},
        {"event": "job_info", "jobid": 8, "rule_name": "track_head"},
    ):
        progress.take_event(event)
        tell(progress, event)
    assert capsys.readouterr().err == "[1/2] media: split_frames\n[2/2] person: track_head\n"
