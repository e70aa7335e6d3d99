"""What a user is meant to see: one exception, and warnings."""

from __future__ import annotations

import logging
from os import PathLike


class InputError(Exception):
    """Something the user gave cannot be used; says what, why and what to do, in one line.

    Args:
        subject: the file (or config key, or weight) that is wrong.
        problem: what is wrong with it, as a clause: ``"has no audio stream"``.
        remedy: what to do, as an imperative: ``"record or mux a voice track"``.
    """

    def __init__(self, subject: str | PathLike[str], problem: str, remedy: str) -> None:
        self.subject, self.problem, self.remedy = str(subject), problem, remedy
        super().__init__(" ".join(f"{subject}: {problem}; {remedy}".split()))


def warn(subject: str | PathLike[str], problem: str) -> None:
    """Say in one line what is odd about something the user gave; the work goes on."""
    logging.getLogger("wildtalker").warning(" ".join(f"warning: {subject}: {problem}".split()))
