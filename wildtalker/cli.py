"""Entry point ``wildtalker``: one sub-command per module of :mod:`wildtalker.commands`.

A command module has ``HELP`` (one line), ``add_arguments(parser)`` and ``run(arguments) -> int``
(the exit status). A new command is a new module; nothing here has to change.
"""

from __future__ import annotations

import argparse
import importlib
import pkgutil
import sys
from collections.abc import Sequence

from wildtalker import commands
from wildtalker_core.errors import InputError


def build_parser() -> argparse.ArgumentParser:
    """The parser with every command of the package ``wildtalker.commands``."""
    parser = argparse.ArgumentParser(
        prog="wildtalker", description="Talking portraits from one ordinary video."
    )
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True)
    for found in pkgutil.iter_modules(commands.__path__):
        module = importlib.import_module(f"{commands.__name__}.{found.name}")
        subparser = subparsers.add_parser(found.name, help=module.HELP, description=module.HELP)
        module.add_arguments(subparser)
        subparser.set_defaults(run=module.run)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; a user's mistake is one line and exit status 1."""
    arguments = build_parser().parse_args(argv)
    try:
        return arguments.run(arguments)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
