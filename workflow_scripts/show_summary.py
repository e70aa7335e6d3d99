"""Print where a finished run's results are: ``python -m workflow_scripts.show_summary CONFIG``."""

from __future__ import annotations

import sys
from pathlib import Path

import yaml


def main(config_path: str) -> None:
    config = yaml.safe_load(Path(config_path).read_text())
    summary = Path(config.get("results_dir", "results")) / "report" / "summary.txt"
    print(summary.read_text())


if __name__ == "__main__":
    main(sys.argv[1])
