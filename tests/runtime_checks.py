"""Annotations are executed: every function of the core checks its arguments and its result.

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
import numpy as np
from beartype import BeartypeConf, BeartypeHintOverrides

#: Not ``workflow_scripts``: its paths are annotated as Snakemake gives them, text, and tests give
#: ``Path``.
PACKAGE = "wildtalker_core"
# NumPy's numbers are as good as Python's, and an int where a float is asked for is fine, as mypy
# has it. Of a list the same item is looked at each time, so that no test fails by chance.
_NUMBERS = BeartypeHintOverrides(
    {int: int | np.integer, float: int | float | np.integer | np.floating, bool: bool | np.bool_}
)
_CONF = BeartypeConf(hint_overrides=_NUMBERS, is_random=False)


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
    """Check whatever of the core is imported from now on."""
    from wildtalker_core import compiled

    compiled.njit = compiled.numba.njit = of_the_function_itself(compiled.njit)
    try:
        import triton
    except ImportError:
        pass
    else:
        triton.jit = of_the_function_itself(triton.jit)
    jaxtyping.install_import_hook(PACKAGE, f"{__name__}.checked")


install()
