"""The first ten minutes on a new GPU: does each kernel agree, what does each preset cost?

    python benchmarks/gpu_day.py [--seconds 600] [--device cuda] [--out gpu_day] [--size 512]

Checks each kernel against its definition, takes ten steps of every stage of each preset, and trains
the paper's head for as long as is left; renders it, and measures frames a second, memory and how
much of a step the card waits for the host. Writes ``OUT/page.md`` and ``OUT/results.json``, anew
after each part. The scene is the made clip of the tests, enlarged: nothing has to be prepared, but
memory and samples a ray are those of its 24 frames. Perceptual losses are left out.

Each part is a process of its own (``gpu_day_parts.py``), which is killed at its limit: the whole
ends in time even if one hangs, and what it had measured is kept. ``--tiny`` takes presets of the
smallest size, to try the script on a CPU.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
# Left for the last part, as a share of the whole: the paper's head must not go short.
_LAST_SHARE = 0.3
# What any other part may take at most, likewise.
_PART_SHARE = 0.1
# Kept back from the whole for killing the last part and writing the page, seconds.
_RESERVE_SECONDS = 2.0
_KILL_SECONDS = 1.0


@dataclass(frozen=True)
class Part:
    """A process that appends a JSON object a line to the file named last on its command line.

    Attributes:
        command: without that file and the time at which it must be done (seconds since the epoch).
        limit_seconds: at most; less where the whole has less left.
    """

    name: str
    command: Sequence[str]
    limit_seconds: float


def run_part(part: Part, limit_seconds: float, folder: Path) -> dict[str, Any]:
    """Run a part to its end or its limit: its state, seconds, rows and last words."""
    rows_path, log_path = folder / f"{part.name}.jsonl", folder / f"{part.name}.log"
    rows_path.unlink(missing_ok=True)
    started = time.monotonic()
    command = [*part.command, str(time.time() + limit_seconds), str(rows_path)]
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, cwd=ROOT,
            start_new_session=True,
        )  # fmt: skip
        try:
            code = process.wait(limit_seconds)
            state = "done" if code == 0 else f"failed ({code})"
        except subprocess.TimeoutExpired:
            state = "cut off at its limit"
        finally:
            _kill(process)
    return {
        "part": part.name,
        "state": state,
        "seconds": round(time.monotonic() - started, 1),
        "rows": list(_rows(rows_path)),
        "log": log_path.read_text(errors="replace").strip().splitlines()[-8:],
    }


def _kill(process: subprocess.Popen) -> None:
    """End a process and all that it has started."""
    if hasattr(os, "killpg"):
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:  # none of them lives
            return
    else:
        process.kill()
    try:
        process.wait(_KILL_SECONDS)
    except subprocess.TimeoutExpired:  # stuck in a driver, where no signal reaches it
        print(f"process {process.pid} does not die; going on without it")


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    if path.is_file():
        for line in path.read_text().splitlines():
            try:
                yield json.loads(line)
            except json.JSONDecodeError:  # cut off while it was written
                return


def run_parts(parts: Sequence[Part], ends: float, folder: Path, about: dict[str, Any]) -> list:
    """Run parts one after the other until ``ends`` (monotonic), writing the page after each.

    The last part may use all that is left, the others leave it its share.
    """
    results: list[dict[str, Any]] = about.setdefault("parts", [])
    kept = _LAST_SHARE * (ends - time.monotonic())
    for part in parts:
        left = ends - time.monotonic() - _RESERVE_SECONDS - (part is not parts[-1]) * kept
        limit = min(part.limit_seconds, left)
        if limit < 1:
            results.append(
                {"part": part.name, "state": "not run: no time left", "seconds": 0.0,
                 "rows": [], "log": []}
            )  # fmt: skip
        else:
            results.append(run_part(part, limit, folder))
        print(f"{part.name}: {results[-1]['state']}, {results[-1]['seconds']} s", flush=True)
        write_page(folder, about)
    return results


def write_page(folder: Path, about: dict[str, Any]) -> None:
    """``page.md`` and ``results.json`` of what is known so far, each replaced at once."""
    lines = [
        "## First minutes on a GPU", "",
        f"Made by `{about['command']}` on a made clip of {about['size']} pixels"
        f"{', presets of the smallest size' if about['tiny'] else ''}.", "",
        "| part | state | seconds |", "|---|---|---|",
        *(f"| {r['part']} | {r['state']} | {r['seconds']} |" for r in about["parts"]),
    ]  # fmt: skip
    tables: dict[tuple[str, ...], list[dict]] = {}
    for result in about["parts"]:
        for row in result["rows"]:
            tables.setdefault(tuple(row), []).append(row)
        if result["state"] != "done" and result["log"]:
            tail = "\n".join(result["log"])
            lines += ["", f"The last words of {result['part']}:", "", "```", tail, "```"]
    for columns, rows in tables.items():
        lines += ["", f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
        lines += [f"| {' | '.join(_shown(row[key]) for key in columns)} |" for row in rows]
    for name, text in (("page.md", "\n".join(lines) + "\n"),
                       ("results.json", json.dumps(about, indent=1))):  # fmt: skip
        partial = folder / f"{name}.partial"
        partial.write_text(text)
        partial.replace(folder / name)


def _shown(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value).replace("|", "/")


def plan(arguments: argparse.Namespace, found: list[dict[str, Any]]) -> list[Part]:
    """All parts after the first, which has ``found`` what kernels and presets there are."""
    names = [(row["kind"], row["name"]) for row in found if "kind" in row]
    limit = _PART_SHARE * arguments.seconds
    return [
        *(_part(arguments, kind, name, limit) for kind, name in names),
        _part(arguments, "longest", "paper", arguments.seconds),
    ]


def _part(arguments: argparse.Namespace, kind: str, name: str, limit: float) -> Part:
    command = [
        sys.executable, str(ROOT / "benchmarks" / "gpu_day_parts.py"), kind, name,
        arguments.device, str(arguments.size), str(int(arguments.tiny)),
    ]  # fmt: skip
    return Part(f"{kind} {name}".replace(" ", "_"), command, limit)


def main(arguments: argparse.Namespace) -> None:
    ends = time.monotonic() + arguments.seconds
    arguments.out.mkdir(parents=True, exist_ok=True)
    about: dict[str, Any] = {
        "command": "python benchmarks/gpu_day.py " + " ".join(sys.argv[1:]),
        "size": arguments.size, "tiny": arguments.tiny, "parts": [],
    }  # fmt: skip
    first = run_part(
        _part(arguments, "look", "around", arguments.seconds), arguments.seconds / 2, arguments.out
    )
    about["parts"].append(first)
    write_page(arguments.out, about)
    if first["state"] != "done":
        sys.exit(f"the device cannot be used: {first['state']}; see {arguments.out / 'page.md'}")
    run_parts(plan(arguments, first["rows"]), ends, arguments.out, about)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu", "mps"])
    parser.add_argument("--out", type=Path, default=Path("gpu_day"))
    parser.add_argument("--size", type=int, default=512, help="pixels of the made clip's sides")
    parser.add_argument("--tiny", action="store_true", help="presets of the smallest size")
    main(parser.parse_args())
