"""The workflow through profiles/slurm on a real Slurm, disturbed on the way.

    python tests/cluster/run_on_slurm.py [--keep FOLDER] [TARGET ...]

Starts a Slurm of two nodes on this machine (see slurm.py; Debian: apt-get install slurmctld slurmd
slurm-client munge), runs two clips side by side (config.yaml beside this file), and while they run

- cancels the training of one clip's head after its first checkpoint: it must be retried, resume
  there, and end with the same portrait as the other clip's, which is the same recording;
- drains a node on which a job runs: that job must end well and later ones go to the other node.

Afterwards each job's memory, time, threads, partition and GPUs are compared, in Slurm's own
records, with what its rule and the profile say. Prints one line a check; exits with 1 on failure.
TARGET: names of what to make, as for snakemake; by default the whole run with its report.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from safetensors.numpy import load_file  # noqa: E402

from tests.cluster.slurm import NODES, Slurm, missing_programs  # noqa: E402

CONFIG = ROOT / "tests" / "cluster" / "config.yaml"
CANCELLED, UNDISTURBED = "left", "right"
TRAINING = ("train_head", "finetune_lips", "train_torso")
#: Only what a machine with its own daily Slurm would not want: short waits, and no database.
FASTER = (
    "--slurm-status-command", "squeue", "--slurm-init-seconds-before-status-checks", "2",
    "--seconds-between-status-checks", "2", "--latency-wait", "5",
)  # fmt: skip


@dataclass(frozen=True)
class Asked:
    """A job as Snakemake plans it."""

    rule: str
    clip: str
    threads: int
    resources: dict[str, str]


class Checks:
    """Prints what was checked; remembers whether all was well."""

    failed = False

    def __call__(self, is_well: bool, what: str) -> None:
        self.failed |= not is_well
        print(f"{'ok    ' if is_well else 'FAILED'} {what}", flush=True)


class Disturber:
    """Cancels and drains once each, when the run has come that far."""

    def __init__(self, slurm: Slurm, results: Path) -> None:
        self.slurm = slurm
        self.checkpoints = results / CANCELLED / "train/wildtalker/checkpoints/head"
        self.cancelled: str | None = None
        self.cancelled_after: list[str] = []
        self.drained: str | None = None
        self.was_running: dict[str, str] = {}

    def look(self) -> None:
        running = [job for job in self.slurm.jobs() if job["JobState"] == "RUNNING"]
        for job in running:
            if self.cancelled is None and rule_and_clip(job) == ("train_head", CANCELLED):
                kept = sorted(path.name for path in self.checkpoints.glob("step_*.pt"))
                if kept:
                    self.slurm.command("scancel", job["JobId"])
                    self.cancelled, self.cancelled_after = job["JobId"], kept
            # A later stage: the cancelled job must not be the one that the node has.
            elif self.drained is None and rule_and_clip(job) == ("train_torso", UNDISTURBED):
                self._drain(job["NodeList"])

    def _drain(self, node: str) -> None:
        """Drain; jobs that began before count as running, later ones may not be on the node."""
        self.slurm.command(
            "scontrol", "update", f"nodename={node}", "state=drain", "reason=maintenance"
        )
        self.drained = node
        self.was_running = {
            job["JobId"]: job["JobState"] for job in self.slurm.jobs() if job["NodeList"] == node
        }


def rule_and_clip(job: dict[str, str]) -> tuple[str, str]:
    """From the comment that Snakemake gives each job, ``rule_{rule}_wildcards_{clip}_...``."""
    rule, _, wildcards = job.get("Comment", "").removeprefix("rule_").partition("_wildcards_")
    return rule, wildcards.split("_")[0]


def read_asked(plan: str) -> dict[str, Asked]:
    """The comment that a job will have -> what its rule asks for, out of a dry run's output."""
    asked = {}
    for block in re.split(r"\n(?=(?:local)?rule \w+:\n)", plan)[1:]:
        rule = re.match(r"(?:local)?rule (\w+):", block)[1]
        fields = dict(re.findall(r"^    (\w+): (.*)$", block, re.M))
        if "output" not in fields or block.startswith("local"):
            continue  # a target, or done by Snakemake itself
        wildcards = dict(re.findall(r"(\w+)=([^,]*)", fields.get("wildcards", "")))
        comment = f"rule_{rule}"
        if wildcards:
            comment += f"_wildcards_{'_'.join(wildcards.values())}"
        asked[comment] = Asked(
            rule,
            wildcards.get("clip", ""),
            int(fields.get("threads", 1)),
            dict(item.split("=", 1) for item in fields["resources"].split(", ")),
        )
    return asked


def differences(asked: Asked, job: dict[str, str]) -> list[str]:
    """What Slurm's record of a job has otherwise than its rule."""
    gpus = re.search(r"gres:gpu:(\d+)", job.get("TresPerNode", job.get("TresPerJob", "")))
    pairs = {
        "memory in MB": (float(asked.resources["mem_mb"]), megabytes(job["MinMemoryNode"])),
        "minutes": (float(asked.resources["runtime"]), minutes(job["TimeLimit"])),
        "GPUs": (int(asked.resources.get("gpu", 0)), int(gpus[1]) if gpus else 0),
        "threads": (asked.threads, int(job["CPUs/Task"])),
        "partition": (asked.resources["slurm_partition"], job["Partition"]),
    }
    return [
        f"{asked.rule} (job {job['JobId']}): {name} {got}, not {wanted}"
        for name, (wanted, got) in pairs.items()
        if wanted != got
    ]


def megabytes(text: str) -> float:
    """``500M``, ``2G`` -> MB as Slurm counts them.

    >>> megabytes("2G")
    2048.0
    """
    return float(text[:-1]) * {"M": 1, "G": 1024}[text[-1]]


def minutes(text: str) -> float:
    """``[days-]hours:minutes:seconds`` -> minutes.

    >>> minutes("1-00:30:00")
    1470.0
    """
    days, _, clock = text.rpartition("-")
    hours, minute, second = map(int, clock.split(":"))
    return (int(days or 0) * 24 + hours) * 60 + minute + second / 60


def overlap(a: dict[str, str], b: dict[str, str]) -> bool:
    """Whether two jobs ran at the same time (ISO dates sort as text)."""
    return a["StartTime"] < b["EndTime"] and b["StartTime"] < a["EndTime"]


def snakemake(folder: Path, targets: list[str], *arguments: str | Path) -> list[str | Path]:
    """The command, with the profile as a user has it."""
    results = folder / "results"
    return [
        sys.executable, "-m", "snakemake", "--workflow-profile", "slurm", "--nolock",
        "--configfile", CONFIG, "--config", f"results_dir={results}", *arguments,
        *(["--", *(f"{results}/{target}" for target in targets)] if targets else []),
    ]  # fmt: skip


def plan(folder: Path, targets: list[str]) -> dict[str, Asked]:
    """What the rules ask for, as a dry run shows it."""
    done = subprocess.run(
        snakemake(folder, targets, "--dry-run"),
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(done.stdout)
    return read_asked(done.stdout)


def run(slurm: Slurm, folder: Path, targets: list[str]) -> tuple[int, str, Disturber]:
    """Snakemake from start to end, disturbed. Returns its status and its log."""
    log_path = folder / "snakemake.log"
    disturber = Disturber(slurm, folder / "results")
    with open(log_path, "w") as log:
        process = subprocess.Popen(
            snakemake(folder, targets, "--slurm-logdir", folder / "slurm_logs", *FASTER),
            cwd=ROOT, env=slurm.environment, stdout=log, stderr=subprocess.STDOUT,
        )  # fmt: skip
        try:
            while process.poll() is None:
                disturber.look()
                time.sleep(1)
        finally:
            if process.poll() is None:
                process.kill()  # its jobs end with Slurm
                process.wait()
    return process.returncode, log_path.read_text(), disturber


def check_run(
    check: Checks,
    jobs: list[dict[str, str]],
    asked: dict[str, Asked],
    disturber: Disturber,
    results: Path,
) -> None:
    """Everything that a finished run must show.

    Args:
        jobs: Slurm's records. asked: what the plan said, by the jobs' comments.
    """
    odd = sorted({job["Comment"] for job in jobs} ^ asked.keys())
    what = f"all {len(asked)} jobs of the plan, and no others, went to Slurm"
    check(not odd, f"{what} {', '.join(odd)}".rstrip())
    wrong = [line for job in jobs for line in differences(asked[job["Comment"]], job)]
    check(not wrong, "each asked for its rule's memory, time, threads, partition and GPUs")
    print(*wrong, sep="\n", end="\n" if wrong else "")
    trained = [job for job in jobs if rule_and_clip(job)[0] in TRAINING]
    check(
        bool(trained) and all(asked[job["Comment"]].resources.get("gpu") == "1" for job in trained),
        f"{len(trained)} training jobs asked for one GPU each",
    )
    heads = {
        clip: [job for job in trained if rule_and_clip(job) == ("train_head", clip)]
        for clip in (CANCELLED, UNDISTURBED)
    }
    check(
        any(overlap(a, b) for a in heads[CANCELLED] for b in heads[UNDISTURBED]),
        "the two clips' heads were trained side by side",
    )

    states = [job["JobState"] for job in heads[CANCELLED]]
    check(
        states == ["CANCELLED", "COMPLETED"],
        f"job {disturber.cancelled} was cancelled, and retried: {', '.join(states)}",
    )
    said = (results / CANCELLED / "logs/train_head.wildtalker.log").read_text()
    resumed = re.search(r"resuming at step (\d+) of (\d+)", said)
    check(
        resumed is not None and 0 < int(resumed[1]) < int(resumed[2]),
        f"it resumed: {resumed[0] if resumed else 'its log does not say so'} "
        f"(checkpoints at the kill: {', '.join(disturber.cancelled_after)})",
    )
    ends = [load_file(results / clip / "train/wildtalker/head.safetensors") for clip in heads]
    check(
        ends[0].keys() == ends[1].keys()
        and all((ends[0][name] == ends[1][name]).all() for name in ends[0]),
        "and ended with the same weights as the undisturbed run on the same recording",
    )

    node = disturber.drained
    kept = [job for job in jobs if disturber.was_running.get(job["JobId"]) == "RUNNING"]
    check(
        bool(kept) and all(job["JobState"] == "COMPLETED" for job in kept),
        f"{node} was drained; what ran there ended well "
        f"({', '.join(rule_and_clip(job)[0] for job in kept)})",
    )
    later = [job for job in jobs if node is not None and job["JobId"] not in disturber.was_running]
    later = [job for job in later if any(job["StartTime"] > k["StartTime"] for k in kept)]
    check(
        bool(later) and all(job["NodeList"] != node for job in later),
        f"{len(later)} jobs that began later ran on {', '.join(set(NODES) - {node})}",
    )


def main(targets: list[str], folder: Path) -> int:
    """Run and check; returns the exit status."""
    started, check = time.monotonic(), Checks()
    with Slurm(folder) as slurm:
        check(
            True, f"Slurm runs: {slurm.command('sbatch', '--version').strip()}, {len(NODES)} nodes"
        )
        asked = plan(folder, targets)
        status, log, disturber = run(slurm, folder, targets)
        jobs = slurm.jobs()
        check(status == 0, f"the workflow ended with status {status}")
        if status == 0:
            check_run(check, jobs, asked, disturber, folder / "results")
    if check.failed:
        print(log[-5000:])
    print(f"{time.monotonic() - started:.0f} s")
    return int(check.failed)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("targets", nargs="*", metavar="TARGET", help="below the results folder")
    parser.add_argument("--keep", type=Path, help="folder for everything, which then stays")
    arguments = parser.parse_args()
    if missing := missing_programs():
        sys.exit(f"error: not installed: {', '.join(missing)}; see this file's head")
    if arguments.keep:
        sys.exit(main(arguments.targets, arguments.keep.resolve()))
    # Short: the path of munge's socket has a limit.
    with tempfile.TemporaryDirectory(prefix="slurm-", dir="/tmp") as name:
        sys.exit(main(arguments.targets, Path(name)))
