"""Triton's compiler in a process of its own, for GPUs that are not here."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


def printed_by(code: str, cache: Path) -> str:
    """What Python code prints that compiles kernels; this process may only interpret them."""
    if sys.platform != "linux":
        pytest.skip("Triton's assembler is for Linux")
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    environment |= {"TRITON_CACHE_DIR": str(cache), "PYTHONPATH": os.pathsep.join(sys.path)}
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment
    )
    assert run.returncode == 0, run.stderr
    return run.stdout
