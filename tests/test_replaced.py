"""What a run is about to train again is named before it is deleted."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.conftest import ROOT

WORKFLOW = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from workflow_scripts import replaced


rule train_splats:
    input: "frames"
    output: "{{clip}}/splats.safetensors"
    params: steps=config["steps"]
    shell: "cp {{input}} {{output}}"


rule tabulate:
    input: "a/splats.safetensors", "b/splats.safetensors"
    output: "table"
    params: steps=config["steps"]
    shell: "touch {{output}}"


onstart:
    replaced.name_replaced(workflow.dag)
"""


def run(folder: Path, steps: int, *targets: str) -> str:
    command = [sys.executable, "-m", "snakemake", "--cores", "1", "--config", f"steps={steps}"]
    done = subprocess.run(
        [*command, "--", *targets], cwd=folder, capture_output=True, text=True, check=True
    )
    return done.stderr


def test_only_what_exists_and_is_trained_again_is_named(tmp_path):
    (tmp_path / "Snakefile").write_text(WORKFLOW)
    (tmp_path / "frames").write_text("frames")
    assert "trained again" not in run(tmp_path, 1, "a/splats.safetensors")  # nothing is lost
    told = [line for line in run(tmp_path, 2, "table").splitlines() if "trained again" in line]
    assert told == [
        "a/splats.safetensors is trained again: params have changed since last execution"
    ]
    assert "trained again" not in run(tmp_path, 2, "table")
