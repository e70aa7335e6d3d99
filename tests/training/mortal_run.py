"""Head stages that may kill themselves: python -m tests.training.mortal_run OPTIONS RUNS...

OPTIONS is the train section as JSON. Each run is a process of its own, one after the other, and
written as folder,weights,death: the folder of its checkpoints, the file for its final weights, and
how it dies: ``never``, ``step:K`` (before its K-th step) or ``save:K`` (in the middle of writing
its K-th checkpoint). Prints each run's exit status, minus the signal if it was killed.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import traceback
from pathlib import Path

import torch

from tests.training.tiny_scene import make_scene
from wildtalker_core.training import checkpoints, head, stages


def kill_at_call(module, name: str, number: int, before_dying) -> None:
    """Let the ``number``-th call of a module's function be this process's last act."""
    function, n_calls = getattr(module, name), 0

    def mortal(*args, **kwargs):
        nonlocal n_calls
        n_calls += 1
        if n_calls == number:
            before_dying(*args)
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*args, **kwargs)

    setattr(module, name, mortal)


def write_half(value, path) -> None:
    Path(path).write_bytes(b"half a checkpoint")


def run(options: str, folder: str, weights: str, death: str) -> None:
    torch.set_num_threads(1)
    kind, _, number = death.partition(":")
    if kind == "step":
        kill_at_call(head, "sample_batch", int(number), lambda *_: None)
    elif kind == "save":
        kill_at_call(checkpoints.torch, "save", int(number), write_half)
    trained = stages.head_stage(
        make_scene(), json.loads(options), Path(folder), lambda step, losses: None
    )
    checkpoints.save_portrait(Path(weights), trained.portrait.state_dict(), {})


def main(options: str, *runs: str) -> None:
    statuses = []
    for arguments in runs:
        # Forked, since importing torch takes longer than the run; no thread has been started yet.
        child = os.fork()
        if not child:
            try:
                run(options, *arguments.split(","))
                os._exit(0)
            except BaseException:
                traceback.print_exc()
                os._exit(1)
        statuses.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    print(json.dumps(statuses))


if __name__ == "__main__":
    main(*sys.argv[1:])
