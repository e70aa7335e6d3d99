"""Names the trained results that a run is about to replace, before it deletes them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

#: Rules whose results cost minutes to days.
TRAINED = ("train_head", "finetune_lips", "train_torso", "train_splats")


def replaced_results(dag: Any) -> list[str]:
    """A line for each trained result that exists and is made again, with Snakemake's reason.

    Args:
        dag: Snakemake's, as it is when a run starts.
    """
    lines = []
    for job in dag.needrun_jobs():
        reasons = list(dag.reason(job).get_names())
        if job.rule.name not in TRAINED or "incomplete output files" in reasons:
            continue
        path = str(job.output[0])
        if not Path(path).exists():
            continue
        lines.append(f"{path} is trained again: {', '.join(reasons)}")
    return sorted(lines)


def name_replaced(dag: Any) -> None:
    """Print these lines and what keeps the old results."""
    if lines := replaced_results(dag):
        print(*lines, sep="\n", file=sys.stderr)
        print("To keep a result of before, stop, and copy or rename its folder.", file=sys.stderr)
