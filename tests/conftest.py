"""Fixtures that every test folder shares."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parents[1]

# Without a GPU Triton's kernels are interpreted, its own sums too: these as soon as anything,
# PyTorch for one, imports Triton.
if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"

import tests.runtime_checks  # noqa: E402, F401  (before anything of the project is imported)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests first: of two processes none is left with a long one in the end."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real clips, speech and weights beside the checkout; skips where they are absent."""
    path = ROOT.parent / "shared" / "data"
    if not (path / "MANIFEST.tsv").is_file():
        pytest.skip(f"real test data are absent ({path})")
    return path


def faults_folder() -> Path:
    """Small faulty files beside the checkout; skips where they are absent."""
    path = ROOT.parent / "shared" / "faults"
    if not (path / "README.tsv").is_file():
        pytest.skip(f"faulty files are absent ({path})")
    return path
