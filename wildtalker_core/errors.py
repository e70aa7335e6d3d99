"""The one exception that a user is meant to see."""

from __future__ import annotations

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
