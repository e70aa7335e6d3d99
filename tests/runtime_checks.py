"""Annotations are executed: every function of the project checks its arguments and its result.

What is passed to a compiler is the function itself, without the check around it. What cannot be
checked: a class's own name in its methods, which is not known yet when they are made.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any

import beartype
import jaxtyping
from beartype import BeartypeConf

PACKAGES = ("wildtalker_core", "workflow_scripts")
# An int where a float is asked for is fine, as mypy has it. Of a list the same item is looked at
# each time, so that no test fails by chance.
_CONF = BeartypeConf(is_pep484_tower=True, is_random=False)


def checked(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function with a check of what goes in and comes out."""
    return beartype.beartype(function, conf=_CONF)


def of_the_function_itself(compiler: Callable[..., Any]) -> Callable[..., Any]:
    """A compiler, as ``numba.njit``, that leaves out what :func:`checked` has wrapped around."""

    @wraps(compiler)
    def compile_(function: Callable[..., Any] | None = None, /, **settings: Any) -> Any:
        if function is None:
            return lambda function: compiler(**settings)(inspect.unwrap(function))
        return compiler(inspect.unwrap(function), **settings)

    return compile_


def install() -> None:
    """Check whatever of the project is imported from now on."""
    from wildtalker_core import compiled

    compiled.njit = compiled.numba.njit = of_the_function_itself(compiled.njit)
    try:
        import triton
    except ImportError:
        pass
    else:
        triton.jit = of_the_function_itself(triton.jit)
    jaxtyping.install_import_hook(PACKAGES, f"{__name__}.checked")


install()
