"""What a user sees when a rule's script ends well or badly."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

from tests.conftest import ROOT


def run_script(tmp_path, body: str, before: str = "") -> tuple[int, str, str]:
    """Run ``body`` inside ``job``, in a process of its own; status, terminal, log."""
    script = (
        textwrap.dedent(before)
        + textwrap.dedent(
            """
        import errno, os, sys
        from types import SimpleNamespace
        from wildtalker_core.errors import InputError
        from workflow_scripts.job import job
        snakemake = SimpleNamespace(
            log=[sys.argv[1]], threads=1, rule="a_rule", output=["out.npz"])
        with job(snakemake):
        """
        )
        + textwrap.indent(textwrap.dedent(body), "    ")
    )
    log = tmp_path / "logs" / "rule.log"
    done = subprocess.run(
        [sys.executable, "-c", script, str(log)], cwd=ROOT, capture_output=True, text=True
    )
    return done.returncode, done.stdout + done.stderr, log.read_text()


def test_success_is_silent_and_output_goes_to_the_log(tmp_path):
    status, terminal, log = run_script(tmp_path, "print('hello'); os.system('echo from outside')")
    assert (status, terminal) == (0, "")
    assert log.split("\n")[:2] in (["from outside", "hello"], ["hello", "from outside"])


def test_a_users_error_is_one_line_without_a_traceback(tmp_path):
    status, terminal, log = run_script(
        tmp_path, "raise InputError('me.mp4', 'has no\\naudio stream', 'mux a voice track')"
    )
    assert status == 1
    assert terminal == "error: me.mp4: has no audio stream; mux a voice track\n"
    assert log.endswith(terminal)
    assert "Traceback" not in log


def test_a_full_disk_is_the_users_to_mend(tmp_path):
    status, terminal, log = run_script(tmp_path, "raise OSError(errno.ENOSPC, 'No space', 'x.zip')")
    assert status == 1
    assert terminal == "error: x.zip: no space left on the disk; free some or move results_dir\n"
    assert "Traceback" not in log


@pytest.mark.parametrize("bug", ["1 / 0", "assert False"])
def test_a_bug_names_the_log_and_leaves_its_traceback_there(tmp_path, bug):
    status, terminal, log = run_script(tmp_path, bug)
    assert status == 1
    assert terminal.count("\n") == 1
    assert "rule.log" in terminal
    assert "Traceback" in log


def test_numba_compiles_after_its_threads_were_set(tmp_path):
    """Numba reads its variable again at every compilation and refuses a changed one."""
    status, terminal, log = run_script(
        tmp_path,
        """
        print(double(2.0))
        """,
        before="""
        import numba

        @numba.njit(parallel=True)
        def fill(n):
            total = 0.0
            for i in numba.prange(n):
                total += i
            return total

        fill(10)

        @numba.njit
        def double(x):
            return 2 * x
        """,
    )
    assert (status, terminal) == (0, ""), log
    assert log.strip().endswith("4.0")
