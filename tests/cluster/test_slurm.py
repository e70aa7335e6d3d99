"""The slurm profile: on a real Slurm where there is one, and what can be seen without."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
import yaml

from tests.cluster.run_on_slurm import Asked, differences, minutes, read_asked, rule_and_clip
from tests.cluster.slurm import missing_programs
from tests.conftest import ROOT

PROFILE = yaml.safe_load((ROOT / "profiles" / "slurm" / "config.yaml").read_text())


@pytest.mark.slow
@pytest.mark.skipif(bool(missing_programs()), reason=f"not installed: {missing_programs()}")
def test_a_disturbed_run_on_a_real_slurm():
    """As far as the rendered videos of two clips; by hand the script makes the whole report."""
    done = subprocess.run(
        [sys.executable, ROOT / "tests" / "cluster" / "run_on_slurm.py",
         "left/render/wildtalker/self_driven.mp4", "right/render/wildtalker/self_driven.mp4"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "FAILED" not in done.stdout and done.stdout.count("\nok ") >= 9, done.stdout


def test_profile_gives_a_gpu_to_every_rule_that_can_use_one():
    text = "\n".join(path.read_text() for path in sorted((ROOT / "rules").glob("*.smk")))
    rules = dict(re.findall(r"^rule (\w+):\n((?:(?: .*)?\n)*)", text, re.M))
    on_gpu = {rule for rule, body in rules.items() if "gpu=gpu()" in body}
    assert "train_head" in on_gpu
    assert on_gpu == {rule for rule, asks in PROFILE["set-resources"].items() if asks["gpu"] == 1}


def test_profile_retries_and_limits_no_gpu():
    """`resources: [gpu=1]` of a workstation would train one portrait at a time."""
    assert PROFILE["retries"] >= 1 and PROFILE["rerun-incomplete"]
    assert "resources" not in PROFILE


PLAN = """\
[Sun Nov 22 11:36:35 2026]
rule train_head:
    input: a, b
    output: c, d
    jobid: 17
    reason: Missing output files: c; Input files updated by another job: b
    wildcards: clip=left, method=wildtalker
    threads: 2
    resources: tmpdir=<TBD>, mem_mb=6000, mem_mib=5723, runtime=1440, gpu=1, slurm_partition=gpu

[Sun Nov 22 11:36:35 2026]
rule tabulate:
    output: results/report/table1.tsv
    jobid: 3
    resources: tmpdir=<TBD>, mem_mb=2000, runtime=30, slurm_partition=cpu

[Sun Nov 22 11:36:35 2026]
localrule fetch_weights:
    output: weights/x
    wildcards: file=x
    resources: mem_mb=500

[Sun Nov 22 11:36:35 2026]
rule all:
    input: c
    jobid: 0
    resources: mem_mb=4000
"""
RECORD = {
    "JobId": "30",
    "Comment": "rule_train_head_wildcards_left_wildtalker",
    "MinMemoryNode": "6000M",
    "TimeLimit": "1-00:00:00",
    "TresPerJob": "gres:gpu:1",
    "CPUs/Task": "2",
    "Partition": "gpu",
}


def test_requests_are_read_from_the_plan_and_compared_with_slurms_record():
    plan = read_asked(PLAN)
    assert list(plan) == [RECORD["Comment"], "rule_tabulate"]
    asked = plan[RECORD["Comment"]]
    assert asked == Asked(
        "train_head",
        "left",
        2,
        {"tmpdir": "<TBD>", "mem_mb": "6000", "mem_mib": "5723", "runtime": "1440", "gpu": "1",
         "slurm_partition": "gpu"},
    )  # fmt: skip
    assert rule_and_clip(RECORD) == ("train_head", "left")
    assert differences(asked, RECORD) == []
    wrong = {"MinMemoryNode": "6G", "TimeLimit": "23:59:00", "TresPerJob": "", "CPUs/Task": "1"}
    assert len(differences(asked, RECORD | wrong)) == 4
    assert minutes("00:30:00") == 30 and minutes("1-00:00:00") == 1440
