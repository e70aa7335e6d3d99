"""Every command in the documents is one that works: dry run, or known options."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from tests.conftest import ROOT

DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), ROOT / "examples/README.md",
             ROOT / "config/paper.yaml", *sorted((ROOT / "benchmarks").glob("*.py"))]  # fmt: skip
PROGRAMS = r"(?:\.venv/bin/)?(?:snakemake|make|python)"


def commands() -> list[str]:
    found = {}
    for path in DOCUMENTS:
        text = path.read_text().replace("\\\n", " ")
        lines = [line.strip().lstrip("#").strip() for line in text.splitlines()]
        lines += re.findall(rf"`({PROGRAMS} [^`]+)`", re.sub(r"\s*\n\s*", " ", text))
        for line in lines:
            # What follows two blanks, or a bare #, is a remark.
            command = re.split(r"\s{2,}|\s#", line)[0] if "--config " not in line else line
            if re.match(rf"{PROGRAMS} [-\w.]", command):
                found.setdefault(command.replace(".venv/bin/", "").rstrip("`:;,"), path.name)
    return list(found)


ALL = commands()


def of_program(name: str) -> list[str]:
    return [command for command in ALL if command.split()[0] == name]


def test_there_are_commands():
    """The search itself works."""
    assert len(of_program("snakemake")) >= 8
    assert len(of_program("python")) >= 15
    assert len(of_program("make")) >= 3


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A user's folder: own configs, clip and recordings."""
    path = tmp_path_factory.mktemp("user")
    for name in ("me.yaml", "my.yaml"):
        (path / name).write_text(f"clips: {{me: {{path: {ROOT}/examples/astronaut.mp4}}}}\n")
    for name in ("talk.wav", "a.wav"):
        (path / name).symlink_to(ROOT / "examples/greeting.wav")
    for pairs in ("FOLDER", "VoiceBank-DEMAND"):
        for part in ("clean_testset_wav", "noisy_testset_wav"):
            (path / pairs / part).mkdir(parents=True)
    for name in ("config.yaml", "config", "examples"):
        (path / name).symlink_to(ROOT / name)
    for name in ("clean", "noisy", "enhanced/cmgan"):
        (path / name).mkdir(parents=True)
    return path


@pytest.mark.parametrize("command", of_program("snakemake"))
def test_snakemake_takes_it(folder, command):
    words = shlex.split(command.replace("[", "").replace("]", ""))[1:]
    if "config/paper.yaml" in words:
        pytest.skip("test_paper_config plans it with data in place")
    if "slurm" in words:  # its plugin asks for a cluster
        words = [word for word in words if word not in ("--workflow-profile", "slurm")]
    cores = [] if "--cores" in words else ["--cores", "1"]
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", "--dry-run", "--quiet", "all", "--nolock",
         "--snakefile", str(ROOT / "Snakefile"), *cores, *words],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("command", of_program("make"))
def test_make_knows_the_target(command):
    targets = [word for word in shlex.split(command)[1:] if "=" not in word and word[0] != "-"]
    known = re.findall(r"^([-a-z./]+):", (ROOT / "Makefile").read_text(), re.M)
    assert targets and set(targets) <= set(known)


@cache
def source(script: str) -> str:
    return (ROOT / script).read_text()


@pytest.mark.parametrize("command", of_program("python"))
def test_scripts_and_their_options_exist(command):
    words = command.replace("[", " ").replace("]", " ").split()[1:]
    if words[0] in ("-m", "-c"):
        pytest.skip("a module")
    for option in (word for word in words if word.startswith("--")):
        assert f'"{option}"' in source(words[0]), option
