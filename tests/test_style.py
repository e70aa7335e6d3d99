"""What `make lint` checks stays clean, and the house small."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

BIN = Path(sys.executable).parent
FOLDERS = ("wildtalker_core", "wildtalker", "workflow_scripts", "examples", "benchmarks")
MOST_LINES_OF_A_FUNCTION, MOST_LINES_OF_A_FILE = 64, 299


@pytest.mark.parametrize(
    "command",
    [
        ["ruff", "check", "."],
        ["ruff", "format", "--check", "."],
        ["snakefmt", "--check", "Snakefile", "rules", "workflow"],
        ["snakemake", "--lint"],
        pytest.param(["mypy"], marks=pytest.mark.slow),
    ],
    ids=" ".join,
)
def test_clean(command):
    done = subprocess.run(
        [BIN / command[0], *command[1:]], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def too_long(path: Path) -> bool:
    """Whether a file or one of its functions (docstring included) has more lines than allowed."""
    text = path.read_text()
    if len(text.splitlines()) > MOST_LINES_OF_A_FILE:
        return True
    return any(
        node.end_lineno - node.lineno >= MOST_LINES_OF_A_FUNCTION
        for node in ast.walk(ast.parse(text))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
    )


def test_files_and_functions_are_short():
    files = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")]
    assert len(files) > 200
    assert not [str(path.relative_to(ROOT)) for path in files if too_long(path)]


def test_a_long_function_and_a_long_file_are_noticed(tmp_path):
    path = tmp_path / "module.py"
    for n_lines, is_long in ((63, False), (64, True)):
        path.write_text("def f():\n" + "    pass\n" * n_lines)
        assert too_long(path) is is_long
    for n_lines, is_long in ((299, False), (300, True)):
        path.write_text("x = 1\n" * n_lines)
        assert too_long(path) is is_long
