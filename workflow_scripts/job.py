"""What every rule's script does around its one core function: log, threads, errors.

A script ends with::

    if __name__ == "__main__":
        with job(snakemake):
            call(main, snakemake)
"""

from __future__ import annotations

import errno
import inspect
import logging
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from wildtalker_core.errors import InputError


@contextmanager
def job(snakemake: Any) -> Iterator[None]:
    """Run a rule's body: output to its log, threads as granted, one line for a user's error.

    A wrong input ends the process with status 1 and a single line ``error: file: what; remedy`` on
    the terminal and at the end of the log. A full disk or memory is reported the same way. Anything
    else is a bug of ours: the traceback goes to the log, and the line names the log.
    """
    log_path = Path(str(snakemake.log[0]))
    log_path.parent.mkdir(parents=True, exist_ok=True)
    set_threads(snakemake.threads)
    # File descriptors, not sys.stderr: mediapipe and ffmpeg write past Python.
    terminal = os.fdopen(os.dup(2), "w")
    sys.stdout.flush()
    sys.stderr.flush()
    with open(log_path, "w") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    if terminal.isatty():
        sys.__stderr__ = terminal  # type: ignore[misc]  # progress bars look here
    # Warnings go where errors go.
    for stream in (terminal, sys.stderr):
        logging.getLogger("wildtalker").addHandler(logging.StreamHandler(stream))
    try:
        yield
    except InputError as error:
        _end(terminal, str(error))
    except Exception as error:
        if is_out_of_memory(error):
            traceback.print_exc()
            _end(terminal, f"{snakemake.rule}: {out_of_memory(snakemake.rule, error)}")
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            where = error.filename or snakemake.output[0]
            _end(terminal, f"{where}: no space left on the disk; free some or move results_dir")
        traceback.print_exc()
        name = type(error).__name__
        _end(terminal, f"{snakemake.rule}: unexpected {name}: {error}; see {log_path}, report it")


def call(main: Callable[..., None], snakemake: Any, **others: Any) -> None:
    """Call a script's ``main`` with what its arguments' names say.

    ``frames_path`` is the rule's input or output ``frames``, None where the rule has nothing there;
    any other name is that of a wildcard or of an entry of params. ``others`` go before them.

    Raises KeyError naming an argument that nothing gives, though it have a default, or that input
    and output both give: else a renamed file would be left out, or be another one, without a word.
    """
    read, made = dict(snakemake.input.items()), dict(snakemake.output.items())
    files = {**read, **made}
    given = {f"{name}_path": str(files[name]) or None for name in read.keys() ^ made.keys()}
    given |= dict(snakemake.params.items()) | dict(snakemake.wildcards.items()) | others
    names = inspect.signature(main).parameters.keys() | others.keys()
    main(**{name: given[name] for name in names})


def is_out_of_memory(error: BaseException) -> bool:
    """Whether the system, PyTorch's allocators or OpenCV's found no memory."""
    if isinstance(error, MemoryError) or getattr(error, "errno", None) == errno.ENOMEM:
        return True
    # torch.OutOfMemoryError is a RuntimeError; the CPU's allocator has only its words.
    words = str(error)
    return any(
        sign in words
        for sign in ("out of memory", "can't allocate memory", "not enough memory",
                     "CUBLAS_STATUS_ALLOC_FAILED", "Insufficient memory", "Failed to allocate")
    )  # fmt: skip


def out_of_memory(rule: str, error: BaseException) -> str:
    """What was used up, and the entries of the config that mend it."""
    remedy = "lower media.size_px or media.max_seconds"
    # A workflow that uses this one as a module puts names of its own before ours.
    stages = {"train_head": "head", "finetune_lips": "lips", "train_torso": "torso"}
    for name, stage in stages.items():
        if rule.endswith(name):
            remedy = f"lower train.{stage}.rays_per_step or media.size_px"
    if rule.endswith("render_portrait"):
        remedy = "lower render.chunk_rays or media.size_px"
    is_gpu = "CUDA" in str(error) or "CUBLAS" in str(error)
    if is_gpu:
        remedy += ", or set train.device to cpu"
    return f"memory of the {'GPU' if is_gpu else 'machine'} is used up; {remedy}"


def set_threads(n_threads: int) -> None:
    """Let every thread pool, imported already or later, use ``n_threads`` threads."""
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = str(n_threads)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(n_threads)
    if "cv2" in sys.modules:
        sys.modules["cv2"].setNumThreads(n_threads)
    if "numba" in sys.modules:
        # Its variable would be read again at the next compilation and then refused, since the pool
        # has its size from the import.
        numba = sys.modules["numba"]
        numba.set_num_threads(min(n_threads, numba.config.NUMBA_NUM_THREADS))
    else:
        os.environ["NUMBA_NUM_THREADS"] = str(n_threads)


def _end(terminal: Any, message: str) -> None:
    line = "error: " + " ".join(message.split())
    print(line, file=sys.stderr, flush=True)
    print(line, file=terminal, flush=True)
    # Not sys.exit: Snakemake's wrapper would print the chained exception.
    terminal.close()
    os._exit(1)
