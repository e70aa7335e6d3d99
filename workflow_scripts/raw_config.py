"""Config files as they are written, before anybody reads them as data.

Snakemake reads ``--configfile`` itself before it reads the Snakefile, and loses what it cannot use:
of a key given twice the first value, of broken YAML the file and the line. So the profiles call
:func:`check_command_line` while the command line is read, and the Snakefile calls
:func:`check_files` where no profile is in force.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from wildtalker_core.errors import InputError

_OPTIONS = ("--configfile", "--configfiles")


def check_command_line(arguments: Sequence[str]) -> None:
    """End the process with one line if a config file on Snakemake's command line is wrong."""
    try:
        check_files(config_files(arguments))
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(1) from None


def config_files(arguments: Sequence[str]) -> list[str]:
    """What Snakemake takes for config files: all up to the next option.

    >>> config_files(["-n", "--configfile", "me.yaml", "report.html", "--cores", "1"])
    ['me.yaml', 'report.html']
    """
    files, is_file = [], False
    for argument in arguments:
        if argument.split("=")[0] in _OPTIONS and "=" in argument:
            files.append(argument.split("=", 1)[1])
        is_file = argument in _OPTIONS or (is_file and not argument.startswith("-"))
        if is_file and argument not in _OPTIONS:
            files.append(argument)
    return files


def check_files(paths: Sequence[Any]) -> None:
    """Raise InputError, with file and line, for what cannot be meant as a config."""
    for i, path in enumerate(map(Path, paths)):
        if i and path.suffix not in (".yaml", ".yml", ".json"):
            raise InputError(
                path,
                "stands behind --configfile, so Snakemake takes it for a second config file",
                "write -- before targets, or name them before --configfile",
            )
        check_text(path, read_text(path))


def read_text(path: Path) -> str:
    if not path.is_file():
        problem = "is a folder, no config file" if path.is_dir() else "does not exist"
        raise InputError(path, problem, "correct the path behind --configfile")
    content = path.read_bytes()
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        is_wide = content[:2] in (b"\xff\xfe", b"\xfe\xff")
        line = 1 if is_wide else content[: error.start].count(b"\n") + 1
        what = "is UTF-16 text" if is_wide else "is not UTF-8 text"
        raise InputError(f"{path} line {line}", what, "save the file as UTF-8") from None


def check_text(path: Path, text: str) -> None:
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        raise _broken(path, text, error) from None
    if not isinstance(root, yaml.MappingNode):
        raise InputError(f"{path} line 1", "has no sections", "write at least `clips:`")
    for key, value in root.value:
        if value.tag == "tag:yaml.org,2002:null":
            raise InputError(
                f"{path} line {key.start_mark.line + 1}",
                f"the section `{key.value}:` is empty",
                "remove the line too, or give it entries",
            )
    for mapping in _mappings(root, set()):
        _check_keys(path, mapping)


def _check_keys(path: Path, mapping: yaml.MappingNode) -> None:
    seen: dict[str, int] = {}
    for key, _ in mapping.value:
        line = key.start_mark.line + 1
        where = f"{path} line {line}"
        if not isinstance(key, yaml.ScalarNode):
            raise InputError(where, "a key is a list or a mapping", "write a word as the key")
        if key.tag == "tag:yaml.org,2002:merge":
            continue
        if key.value in seen:
            raise InputError(
                where,
                f"the key `{key.value}` is given twice, first in line {seen[key.value]}",
                "keep one of them",
            )
        seen[key.value] = line
        kind = key.tag.rpartition(":")[2]
        if kind != "str" and not (kind == "int" and str(_number(key.value)) == key.value):
            raise InputError(
                where, f"YAML reads the name `{key.value}` as {kind}", f'write "{key.value}"'
            )


def _number(text: str) -> int | None:
    return int(text) if text.isdigit() else None


def _mappings(node: yaml.Node, known: set[int]) -> Iterator[yaml.MappingNode]:
    """All mappings of a document; those that an anchor names once."""
    if id(node) in known:
        return
    known.add(id(node))
    if isinstance(node, yaml.MappingNode):
        yield node
        for pair in node.value:
            for part in pair:
                yield from _mappings(part, known)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from _mappings(item, known)


def _broken(path: Path, text: str, error: yaml.YAMLError) -> InputError:
    mark = getattr(error, "problem_mark", None)
    number = mark.line + 1 if mark else text[: getattr(error, "position", 0)].count("\n") + 1
    lines = text.splitlines()
    line = lines[number - 1] if number <= len(lines) else ""
    where = f"{path} line {number}"
    if "\t" in line[: len(line) - len(line.lstrip())]:
        return InputError(where, "is indented with a tab", "indent with spaces")
    problem = getattr(error, "problem", None) or getattr(error, "reason", "cannot be read")
    return InputError(where, f"is no valid YAML ({problem})", "correct it there or just above")
