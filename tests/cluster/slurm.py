"""A whole Slurm of two nodes on one machine, for one user, in one folder; gone when it is left.

The daemons are Debian's (slurmctld, slurmd, munge). Nothing outside the folder is written: the
commands find their configuration through small wrappers at the head of PATH, since Snakemake's
executor drops SLURM_CONF. No root is needed, and an installed Slurm is not disturbed. Without
accounting database: finished jobs are remembered by the controller (MinJobAge).
"""

from __future__ import annotations

import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

NODES = ("node1", "node2")
N_GPUS = 2  # of a node
USER = pwd.getpwuid(os.getuid()).pw_name
_DAEMONS = ("munged", "slurmctld", "slurmd")
_COMMANDS = ("sbatch", "srun", "scancel", "squeue", "sinfo", "scontrol", "sacct", "sacctmgr")

_CONFIG = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket={folder}/munge.socket
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
GresTypes=gpu
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=5
JobAcctGatherParams=OverMemoryKill
JobRequeue=0
KillWait=5
MinJobAge=86400
ReturnToService=2
SchedulerParameters=sched_interval=5,batch_sched_delay=1
SlurmdParameters=config_overrides
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
MessageTimeout=30
SlurmdTimeout=300
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool.%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.%n.log
NodeName={nodes[0]} NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} {size}
NodeName={nodes[1]} NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} {size}
PartitionName=cpu Nodes=ALL Default=YES State=UP
PartitionName=gpu Nodes=ALL State=UP
"""


def missing_programs() -> list[str]:
    """Names of the needed programs that are not installed."""
    return [name for name in (*_DAEMONS, *_COMMANDS) if _find(name) is None]


class Slurm:
    """Two nodes of ``cpus`` cores, ``memory_mb`` and ``N_GPUS`` made-up GPUs each.

    Sizes are declared, not measured: the nodes share this machine, and the jobs are small.
    Use as a context manager; ``environment`` is what programs need to reach it.
    """

    def __init__(self, folder: Path, cpus: int = 2, memory_mb: int = 16000) -> None:
        self.folder, self._daemons = folder, []
        self.environment = os.environ | {"PATH": f"{folder}/bin{os.pathsep}{os.environ['PATH']}"}
        for name in list(self.environment):
            if name.startswith(("SLURM_", "SBATCH_", "SRUN_")):
                del self.environment[name]
        for name in ("bin", "state", *(f"spool.{node}" for node in NODES)):
            (folder / name).mkdir(parents=True)
        config = folder / "slurm.conf"
        config.write_text(
            _CONFIG.format(
                host=socket.gethostname().split(".")[0],
                user=USER,
                folder=folder,
                nodes=NODES,
                ports=_free_ports(3),
                size=f"CPUs={cpus} RealMemory={memory_mb} Gres=gpu:{N_GPUS} State=UNKNOWN",
            )
        )
        for i in range(N_GPUS):
            (folder / f"gpu{i}").symlink_to(os.devnull)  # Slurm wants a device behind each
        (folder / "gres.conf").write_text(f"Name=gpu File={folder}/gpu[0-{N_GPUS - 1}]\n")
        (folder / "cgroup.conf").write_text("CgroupAutomount=no\n")
        for name in _COMMANDS:
            wrapper = folder / "bin" / name
            wrapper.write_text(f'#!/bin/sh\nSLURM_CONF={config} exec {_find(name)} "$@"\n')
            wrapper.chmod(0o755)

    def __enter__(self) -> Slurm:
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if (self.folder / "slurmctld.pid").exists():
            self.command("scancel", "--user", USER, check=False)
            wait_for(lambda: not self.command("squeue", "--noheader", check=False), 30)
        for daemon in reversed(self._daemons):
            daemon.terminate()
            try:
                daemon.wait(timeout=20)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()
        for process in self._descendants():
            os.kill(process, signal.SIGKILL)

    def command(self, name: str, *arguments: str, check: bool = True) -> str:
        """Output of a Slurm command."""
        return subprocess.run(
            [self.folder / "bin" / name, *arguments],
            env=self.environment, capture_output=True, text=True, check=check,
        ).stdout  # fmt: skip

    def jobs(self) -> list[dict[str, str]]:
        """What ``scontrol show job`` knows of every job, running and finished, oldest first."""
        lines = self.command("scontrol", "--oneliner", "show", "job").splitlines()
        records = [dict(re.findall(r"(\S+?)=(\S*)", line)) for line in lines if "JobId=" in line]
        return sorted(records, key=lambda record: int(record["JobId"]))

    def _descendants(self) -> list[int]:
        """Processes, of jobs and of their steps, that know of this Slurm by their environment."""
        mark = f"SLURM_CONF={self.folder}/".encode()
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                if mark in (entry / "environ").read_bytes():
                    found.append(int(entry.name))
            except (FileNotFoundError, ProcessLookupError, PermissionError):
                continue  # ended meanwhile, or another user's
        return found

    def _start(self) -> None:
        key = self.folder / "munge.key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o400)
        at = {name: self.folder / f"munge.{name}" for name in ("socket", "pid", "seed", "log")}
        self._run(
            "munged", "--foreground", "--force", f"--key-file={key}", f"--socket={at['socket']}",
            f"--pid-file={at['pid']}", f"--seed-file={at['seed']}", f"--log-file={at['log']}",
        )  # fmt: skip
        wait_for(at["socket"].exists, 20, "munged did not start; see munge.log")
        config = str(self.folder / "slurm.conf")
        self._run("slurmctld", "-D", "-c", "-f", config)
        for node in NODES:
            self._run("slurmd", "-D", "-f", config, "-N", node)
        wait_for(self._is_up, 60, f"the nodes did not become idle; see {self.folder}/*.log")

    def _is_up(self) -> bool:
        for daemon in self._daemons:
            if daemon.poll() is not None:
                raise RuntimeError(f"{daemon.args[0]} ended at once; see {self.folder}/*.out")
        states = self.command("sinfo", "-h", "-N", "-p", "cpu", "-o", "%T", check=False).split()
        return states == ["idle"] * len(NODES)

    def _run(self, name: str, *arguments: str) -> None:
        with open(self.folder / f"{name}.{len(self._daemons)}.out", "w") as out:
            self._daemons.append(
                subprocess.Popen(
                    [_find(name), *arguments], cwd=self.folder,
                    env=self.environment | {"SLURM_CONF": str(self.folder / "slurm.conf")},
                    stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                )
            )  # fmt: skip


def wait_for(is_done: Callable[[], bool], seconds: float, complaint: str | None = None) -> None:
    """Poll until done; after ``seconds`` go on, or raise TimeoutError with the complaint."""
    deadline = time.monotonic() + seconds
    while not is_done():
        if time.monotonic() > deadline:
            if complaint is None:
                return
            raise TimeoutError(complaint)
        time.sleep(0.5)


def _find(name: str) -> str | None:
    return shutil.which(name, path=os.pathsep.join([os.environ["PATH"], "/usr/sbin", "/sbin"]))


def _free_ports(n: int) -> list[int]:
    sockets = [socket.socket() for _ in range(n)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports
