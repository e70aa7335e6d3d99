"""Which modules a rule's script imports, and the digest of their sources."""

from __future__ import annotations

import ast
import hashlib
from functools import cache
from pathlib import Path

_PACKAGES = ("wildtalker_core", "workflow_scripts")


@cache
def closure(script: Path, root: Path, core: Path) -> tuple[Path, ...]:
    """Files of the project that ``script`` imports, itself left out, however deep; sorted.

    Imports inside functions count, since a run may come there. Options do not: their values are a
    rule's params, and a word in their text should not make anything anew.

    Args:
        root: folder that holds ``workflow_scripts``.
        core: the package ``wildtalker_core``; not below ``root`` where a wheel is installed.
    """
    bases = {"workflow_scripts": root / "workflow_scripts", "wildtalker_core": core}
    found: set[Path] = set()
    waiting = [script]
    while waiting:
        for path in _imported(waiting.pop(), tuple(bases.items())):
            if path not in found and path != script and path.name != "options.py":
                found.add(path)
                waiting.append(path)
    return tuple(sorted(found))


def digest(script: Path, root: Path, core: Path) -> str:
    """Digest of the sources of :func:`closure`; Snakemake itself compares the script."""
    found = hashlib.sha256()
    for path in closure(script, root, core):
        found.update(_digest_of_source(path))
    return found.hexdigest()[:12]


@cache
def _digest_of_source(path: Path) -> bytes:
    return hashlib.sha256(path.read_bytes()).digest()


@cache
def _imported(path: Path, bases: tuple[tuple[str, Path], ...]) -> tuple[Path, ...]:
    """Files of the project that one file's import statements name, with their packages' own."""
    found = set()
    for name in _imported_names(path):
        package, *parts = name.split(".")
        folder = dict(bases).get(package)
        while folder is not None:
            found.add(folder / "__init__.py")
            if not parts:
                break
            found.add(folder.joinpath(parts[0] + ".py"))
            folder = folder / parts.pop(0)
    return tuple(file for file in found if file.is_file())


def _imported_names(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            # Each name may be a module of the package.
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name for name in names if name.split(".")[0] in _PACKAGES}
