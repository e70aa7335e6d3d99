"""Every option with its default, limits and meaning: ``docs/options.md``, from the schema.

python -m workflow_scripts.option_page > docs/options.md
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from workflow_scripts.sections import load_schema

_HEAD = """# Options

All that a config file may say, written by `python -m workflow_scripts.option_page` from the classes
of options beside the functions that read them. What is left out has its default. `{name}` is a name
of your choice.
"""
_TABLE = "\n| entry | default | may be | meaning |\n|---|---|---|---|\n"


def page(schema: Mapping[str, Any]) -> str:
    """Markdown of a config's schema: a table of what is in no section, and one for each section."""
    entries = schema["properties"]
    sections = {name: entry for name, entry in entries.items() if "properties" in entry}
    rest = {name: entry for name, entry in entries.items() if name not in sections}
    text = _HEAD + _TABLE + "".join(_rows("", {"properties": rest}, []))
    for name, entry in sections.items():
        text += f"\n## {name}\n\n{entry['description']}\n{_TABLE}{''.join(_rows('', entry, []))}"
    return text


def _rows(path: str, entry: Mapping[str, Any], shown: list[Any]) -> Iterator[str]:
    """A row of an entry, and of those below it unless they were ``shown`` for another one."""
    if "description" in entry and path:
        default = f"`{json.dumps(entry['default'])}`" if "default" in entry else ""
        yield f"| `{path}` | {default} | {_limits(entry)} | {entry['description']} |\n"
    below = dict(entry.get("properties", {}))
    if isinstance(entry.get("additionalProperties"), Mapping):
        below["{name}"] = entry["additionalProperties"]
    if below not in shown:
        shown.append(below)
        for name, inner in below.items():
            yield from _rows(f"{path}.{name}".strip("."), inner, shown)


def _limits(entry: Mapping[str, Any]) -> str:
    """``number, from 0, to 1`` and the like."""
    if "enum" in entry:
        return ", ".join(str(value) for value in entry["enum"])
    kinds = entry.get("type", [])
    text = kinds if isinstance(kinds, str) else " or ".join(kinds)
    if "items" in entry:
        text = text.replace("array", f"list of {_limits(entry['items'])}")
    words = {"minimum": "from", "exclusiveMinimum": "above", "maximum": "to",
             "exclusiveMaximum": "below", "multipleOf": "multiple of"}  # fmt: skip
    text += "".join(f", {word} {entry[key]}" for key, word in words.items() if key in entry)
    return f"{text}, odd" if entry.get("not") == {"multipleOf": 2} else text


if __name__ == "__main__":
    print(page(load_schema(Path(__file__).resolve().parents[1] / "config")), end="")
