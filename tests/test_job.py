"""What a user sees when a rule's script ends well or badly."""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap
from types import SimpleNamespace

import pytest
from snakemake.iocontainers import Namedlist

from tests.conftest import ROOT
from workflow_scripts.configuration import load_schema
from workflow_scripts.job import call


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


def a_rule(**parts) -> SimpleNamespace:
    return SimpleNamespace(**{"input": {}, "output": {}, "params": {}, "wildcards": {}, **parts})


def test_call_gives_arguments_by_their_names():
    called = []

    def main(frames_path, truth_path, mask_path, size, clip, options=None):
        called.append((frames_path, truth_path, mask_path, size, clip, options))

    rule = a_rule(
        input={"frames": "f.zip", "truth": Namedlist(), "unread": "u"}, output={"mask": "m.zip"},
        params={"size": 3, "options": {"a": 1}, "code": "x"}, wildcards={"clip": "me"},
    )  # fmt: skip
    call(main, rule, options="typed")
    assert called == [("f.zip", None, "m.zip", 3, "me", "typed")]


def test_call_leaves_nothing_out_without_a_word():
    def main(speech_path, raw_path=None):
        raise AssertionError("called")

    with pytest.raises(KeyError, match="raw_path"):  # has a default, but the file was renamed
        call(main, a_rule(input={"speech": "s.wav", "rawer": "r.wav"}))
    with pytest.raises(KeyError, match="speech_path"):  # which of the two?
        call(main, a_rule(input={"speech": "s", "raw": "r"}, output={"speech": "t"}))
    with pytest.raises(KeyError, match="speech_path"):
        call(main, a_rule(), raw_path=None)
    with pytest.raises(TypeError, match="other"):
        call(main, a_rule(input={"speech": "s", "raw": "r"}), other=1)


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


@pytest.mark.parametrize(
    ("rule", "body", "words"),
    [
        ("train_head", "torch.empty(1 << 52)",
         "machine is used up; lower train.head.rays_per_step"),
        ("parse_portrait", "torch.empty(1 << 52)", "machine is used up; lower media.size_px"),
        ("render_portrait", "raise torch.OutOfMemoryError('CUDA out of memory. Tried')",
         "GPU is used up; lower render.chunk_rays or media.size_px, or set train.device to cpu"),
        ("finetune_lips", "raise RuntimeError('CUDA error: CUBLAS_STATUS_ALLOC_FAILED')",
         "GPU is used up; lower train.lips.rays_per_step"),
        ("estimate_flow", "np.empty(1 << 62, np.uint8)", "machine is used up; lower media.size_px"),
    ],
)  # fmt: skip
def test_used_up_memory_is_one_line_with_a_remedy_that_exists(tmp_path, rule, body, words):
    status, terminal, log = run_script(
        tmp_path, f"snakemake.rule = {rule!r}\n{body}", before="import numpy as np, torch"
    )
    assert status == 1
    assert terminal.startswith(f"error: {rule}: memory of the ") and words in terminal
    assert terminal.count("\n") == 1 and "Traceback" not in terminal
    schema = load_schema(ROOT / "config")["properties"]
    named = re.findall(r"(?<= )[a-z]+\.[a-z_.]+[a-z]", terminal)
    assert len(named) >= 2
    for entry in named:
        section = {"properties": schema}
        for key in entry.split("."):
            section = section["properties"][key]


def test_other_runtime_errors_are_bugs(tmp_path):
    status, terminal, _ = run_script(tmp_path, "raise RuntimeError('shapes differ')")
    assert "unexpected RuntimeError" in terminal
