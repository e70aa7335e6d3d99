"""Packages that only some options need: `make extra`, or an extra of the package, brings them."""

from __future__ import annotations

import importlib
from types import ModuleType

from wildtalker_core.errors import InputError


def import_optional(module: str, option: str, extra: str, instead: str = "") -> ModuleType:
    """The module; InputError, naming the extra that brings it, where it is not installed.

    Args:
        option: what needs it, such as ``occlusion.flow: ptlflow``.
        instead: what needs none.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise InputError(
            option,
            f"needs a package that is not installed ({error.name})",
            f'make extra, or pip install "wildtalker[{extra}]"{instead and f"; {instead}"}',
        ) from None
