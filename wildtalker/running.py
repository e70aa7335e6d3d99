"""The workflow on one video: its config, Snakemake's command, and a run that is watched."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

HERE = Path(__file__).resolve().parent
#: Order in which the stages of a portrait are shown; `evaluate` is first, as it fetches weights.
STAGES = (
    "evaluate",
    "media",
    "speech",
    "person",
    "occlusion",
    "pose",
    "scene",
    "train",
    "render",
    "report",
)
_BAR = re.compile(r"([^:]+): +(\d+)%\|")
_STOP_SECONDS = 10


def clip_config(
    name: str,
    path: str | os.PathLike[str],
    results: str | os.PathLike[str],
    preset: str | None,
    size_px: int | None,
) -> dict[str, Any]:
    """The workflow's config for one video: the clip, and only what the user asked to change."""
    config: dict[str, Any] = {
        "results_dir": str(results),
        "clips": {name: {"path": str(path)}},
    }
    if preset is not None:
        config["train"] = {"preset": preset}
    if size_px is not None:
        config["media"] = {"size_px": size_px}
    return config


def workflow_dir() -> Path:
    """Folder of the Snakefile: package data of an installed wheel, or the checkout."""
    packaged = HERE / "workflow"
    return packaged if packaged.is_dir() else HERE.parent


def snakemake_command(
    config_path: str | os.PathLike[str],
    cores: str,
    targets: Sequence[str] = (),
    is_plan: bool = False,
) -> list[str]:
    """What makes ``targets``, by default all that the config asks for, or says what it would do."""
    workflow = workflow_dir()
    told = ["--dry-run", "--quiet", "rules"] if is_plan else ["--logger", "events"]
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(workflow / "Snakefile"),
               "--workflow-profile", str(workflow / "profiles" / "default"),
               "--cores", cores, *told, "--configfile", os.fspath(config_path)]  # fmt: skip
    return [*command, "--", *targets] if targets else command


@dataclass
class Progress:
    """What a run has told of itself so far.

    Attributes:
        n_jobs, n_done: jobs by stage, none before the run has planned.
        running: rule of each running job, by its number.
        bar: name and percentage of the last bar that moved.
        warnings: lines about what is odd in the input.
        error: the line that a failed job printed.
        inferred_error: a line of ours for a failure of which no job told.
        last_text: the last line that anybody printed.
    """

    n_jobs: Counter[str] = field(default_factory=Counter)
    n_done: Counter[str] = field(default_factory=Counter)
    running: dict[int, str] = field(default_factory=dict)
    bar: tuple[str, int] | None = None
    warnings: list[str] = field(default_factory=list)
    error: str | None = None
    inferred_error: str | None = None
    last_text: str = ""

    @property
    def failure(self) -> str | None:
        """The line that the run ends with, None as long as all is well."""
        return self.error or self.inferred_error

    def take_event(self, event: dict[str, Any]) -> None:
        """A line of Snakemake's logger plugin ``events``."""
        match event:
            case {"event": "run_info", "stats": stats}:
                self.n_jobs = Counter()
                for rule, n in stats.items():
                    if rule != "total":
                        self.n_jobs[stage_of(rule)] += n
            case {"event": "job_info", "jobid": job, "rule_name": rule}:
                self.running[job] = rule
            case {"event": "job_finished", "job_id": job} if job in self.running:
                self.n_done[stage_of(self.running.pop(job))] += 1
                self.bar = None
            case {"event": "job_error", "rule_name": rule}:
                self.inferred_error = (
                    f"error: {rule}: its process was ended from outside, as when memory is short; "
                    "start again, and the run goes on"
                )
            case {"event": "error", "text": text} if not self.running:
                # Snakemake's own: a heading, a line, and where in the rules.
                line = [*text.splitlines()[1:2], text][0]
                self.inferred_error = f"error: {line.removeprefix('Error: ')}"

    def take_text(self, text: str) -> None:
        """A line that a job printed, or a state of its bar."""
        if bar := _BAR.match(text):
            self.bar = (bar[1].strip(), int(bar[2]))
            return
        self.last_text = text or self.last_text
        if text.startswith("error: "):
            self.error = text
        elif text.startswith("warning: "):
            self.warnings.append(text)


@functools.cache
def stage_of(rule: str) -> str:
    """The stage that a rule belongs to: the folder of its script; of others the rule's name."""
    script = next(workflow_dir().glob(f"workflow_scripts/*/{rule}.py"), None)
    return rule if script is None else script.parent.name


class WatchedRun:
    """A run of Snakemake in a process group of its own, whose progress is known at any time.

    Args:
        command: from :func:`snakemake_command`.
        folder: working directory; None for the caller's.
        echo: where all that jobs print goes too; their bars if that is a terminal.
        told: called with the progress and each event after it was taken.
    """

    def __init__(
        self,
        command: Sequence[str],
        folder: Path | None = None,
        echo: BinaryIO | None = None,
        told: Callable[[Progress, dict[str, Any]], None] = lambda progress, event: None,
    ) -> None:
        self.progress, self._echo, self._told = Progress(), echo, told
        # Jobs draw bars on a terminal only, which Windows cannot lend them.
        has_bars = os.name == "posix" and (echo is None or echo.isatty())
        reading, writing = _terminal() if has_bars else os.pipe()
        plugins = [str(HERE / "snakemake_plugins"), *filter(None, [os.environ.get("PYTHONPATH")])]
        self._process = subprocess.Popen(
            list(command), cwd=folder,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(plugins)},
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=writing,
            process_group=0,
        )  # fmt: skip
        os.close(writing)
        self._readers = [
            threading.Thread(target=self._read_events, daemon=True),
            threading.Thread(target=self._read_text, args=(reading,), daemon=True),
        ]
        for reader in self._readers:
            reader.start()

    def wait(self) -> int:
        """The exit status; ``progress.failure`` is set where it is not 0."""
        status = self._process.wait()
        for reader in self._readers:
            reader.join()
        if status and self.progress.failure is None:
            self.progress.inferred_error = (
                f"error: snakemake: ended with status {status} ({self.progress.last_text})"
            )
        return status

    def stop(self) -> None:
        """End Snakemake and its jobs, as Ctrl-C on a terminal does; the next run goes on."""
        self._signal(signal.SIGINT)
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._signal(signal.SIGKILL)
            self._process.wait()

    def _signal(self, number: int) -> None:
        # poll() knows nothing while another thread is in wait(); the process may be gone by then.
        with contextlib.suppress(ProcessLookupError):
            if self._process.poll() is None:
                os.killpg(self._process.pid, number)

    def _read_events(self) -> None:
        assert self._process.stdout is not None  # a pipe
        for line in self._process.stdout:
            if line.startswith(b"{"):
                event = json.loads(line)
                self.progress.take_event(event)
                self._told(self.progress, event)

    def _read_text(self, reading: int) -> None:
        rest = ""
        with open(reading, "rb", buffering=0) as source:
            while data := _some(source):
                if self._echo is not None:
                    self._echo.write(data)
                    self._echo.flush()
                *lines, rest = re.split(r"[\r\n]+", rest + data.decode(errors="replace"))
                # What follows the last return is a bar that stands, or the beginning of a line.
                for line in [*lines, rest] if _BAR.match(rest) else lines:
                    self.progress.take_text(line.strip())


def _terminal() -> tuple[int, int]:
    """Ends of a terminal as wide as ours: what is read, what jobs write to."""
    import pty  # absent on Windows, like termios
    import termios

    reading, writing = pty.openpty()
    termios.tcsetwinsize(writing, shutil.get_terminal_size()[::-1])
    return reading, writing


def _some(source: BinaryIO) -> bytes:
    """What a job printed next; empty at the end, which a terminal tells as an error."""
    try:
        return source.read(1 << 16)
    except OSError:
        return b""
