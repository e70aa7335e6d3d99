"""Progress bars that are seen on a terminal and silent in a log."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

T = TypeVar("T")


def progress(items: Iterable[T], description: str, total: int | None = None) -> Iterator[T]:
    """Iterate over ``items`` with a bar on the real terminal; nothing is written to logs.

    A job's stderr goes to its log file, so the bar looks for the terminal behind it.
    """
    terminal = sys.__stderr__
    is_quiet = terminal is None or not terminal.isatty()
    yield from tqdm(
        items, desc=description, total=total, file=terminal, disable=is_quiet, leave=False
    )
