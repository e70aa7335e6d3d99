"""A rule's params are the options that its script reads."""

from __future__ import annotations

import re

import pytest

from tests.conftest import ROOT
from workflow_scripts.shared_heads import stage_of_training

RULES = "".join(path.read_text() for path in sorted((ROOT / "rules").glob("*.smk")))
DECLARED = {
    re.search(r"workflow_scripts/(\w+/\w+)\.py", rule)[1]: set(re.findall(r'"(\w+)"', found[1]))
    for rule in re.split(r"(?m)^rule ", RULES)
    if (found := re.search(r'[^_]options=stage_options\(\s*"\w+",([^)]+)\)', rule))
}


@pytest.mark.parametrize("script", DECLARED)
def test_options_are_those_that_the_script_reads(script):
    text = (ROOT / f"workflow_scripts/{script}.py").read_text()
    read = set(re.findall(r'options\["(\w+)"\]', text))
    if "codec_of(options)" in text:
        read |= {"crf", "encoder_preset"}
    assert DECLARED[script] == read


def test_most_rules_declare_theirs():
    assert len(DECLARED) == 20


def test_training_is_told_of_its_own_stage_only():
    train = dict.fromkeys(
        ("head", "lips", "torso", "splats", "static_weight", "threads", "preview_every", "seed")
    )
    found = {stage: set(stage_of_training(train, stage)) for stage in ("head", "lips", "torso")}
    assert found["head"] == {"head", "seed"}
    assert found["lips"] == {"lips", "seed"}
    assert found["torso"] == {"torso", "static_weight", "seed"}
