"""A killed run: the same command goes on, and a living run is left alone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from tests.conftest import ROOT
from workflow_scripts import stale_lock


def start(folder, target="results/me/speech/original/speech.wav"):
    return subprocess.Popen(
        [sys.executable, "-m", "snakemake", "--cores", "1", "--snakefile", ROOT / "Snakefile",
         target, "--configfile", "me.yaml"],
        cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        start_new_session=True,
    )  # fmt: skip


def wait_for_lock(folder, process):
    until = time.monotonic() + 60
    while not list((folder / ".snakemake/locks").glob("*.lock")):
        assert time.monotonic() < until and process.poll() is None
        time.sleep(0.05)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "me.yaml").write_text(
        f"clips: {{me: {{path: {ROOT}/examples/astronaut.mp4}}}}\n"
        "media: {size_px: 96, max_seconds: 2.5}\n"
    )
    return tmp_path


def test_the_same_command_goes_on_after_a_kill(folder):
    killed = start(folder)
    wait_for_lock(folder, killed)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait()
    assert list((folder / ".snakemake/locks").glob("*.lock")), "the kill left its lock"
    again = start(folder)
    output, _ = again.communicate(timeout=300)
    assert again.returncode == 0, output
    assert "the lock of a killed run is removed" in output
    assert (folder / "results/me/speech/original/speech.wav").is_file()


def test_a_living_run_keeps_its_lock(folder, capfd):
    living = start(folder)
    try:
        wait_for_lock(folder, living)
        stale_lock.release(["--directory", str(folder), "--configfile", "me.yaml", "all"])
        assert list((folder / ".snakemake/locks").glob("*.lock"))
        said = capfd.readouterr().err
        assert said.count("\n") == 1 and "another run works there" in said
        assert f"snakemake --unlock --directory {folder} --configfile me.yaml" in said
    finally:
        os.killpg(living.pid, signal.SIGKILL)
        living.communicate()


def test_a_lock_from_another_machine_is_left_alone(tmp_path, capfd):
    (tmp_path / ".snakemake/locks").mkdir(parents=True)
    lock = tmp_path / ".snakemake/locks/0.output.lock"
    lock.touch()
    (tmp_path / ".snakemake/owner_host").write_text("another-machine")
    stale_lock.release(["--directory", str(tmp_path)])
    assert lock.exists()
    assert "another machine" in capfd.readouterr().err
    (tmp_path / ".snakemake/owner_host").write_text(stale_lock.platform.node())
    stale_lock.release(["-d", str(tmp_path)])
    assert not lock.exists()
