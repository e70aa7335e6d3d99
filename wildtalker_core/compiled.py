"""Numba as this project uses it: where compiled code is kept and how many threads there are.

Modules with compiled loops take ``njit`` and ``prange`` from here, so that numba is set up before
it is first imported.
"""

from __future__ import annotations

import os
import tempfile

import torch


def _choose_cache_dir() -> None:
    """Point numba's cache to a folder that can be written, if its own choices cannot."""
    candidates = (os.path.join(os.path.dirname(__file__), "__pycache__"), os.path.expanduser("~"))
    if "NUMBA_CACHE_DIR" not in os.environ and not any(os.access(d, os.W_OK) for d in candidates):
        os.environ["NUMBA_CACHE_DIR"] = os.path.join(tempfile.gettempdir(), "wildtalker-numba")


_choose_cache_dir()
import numba  # noqa: E402  (reads NUMBA_CACHE_DIR when it is imported)
from numba import njit, prange  # noqa: E402

__all__ = ["MATH", "njit", "prange", "use_torch_threads"]

# Numba's pool must sleep between calls: OpenMP's spins for milliseconds after each, on the core
# that torch computes on, and made a training step three times as slow.
numba.config.THREADING_LAYER = "workqueue"

#: ``fastmath``: sums may be reordered and divisions shared; infinities and NaNs keep their meaning.
MATH = {"contract", "reassoc", "arcp", "nsz"}


def use_torch_threads() -> int:
    """Let compiled loops use as many threads as torch does, and say how many."""
    n_threads = min(torch.get_num_threads(), numba.config.NUMBA_NUM_THREADS)
    numba.set_num_threads(n_threads)
    return n_threads
