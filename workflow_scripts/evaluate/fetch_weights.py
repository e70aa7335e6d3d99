"""A file of the weight registry → ``weights/``."""

from pathlib import Path

from wildtalker_core.errors import InputError
from wildtalker_core.pretrained.weight_registry import REGISTRY, fetch
from workflow_scripts.job import job


def main(path: str) -> None:
    """Fetch the registry's file of that name and prove its sum."""
    name = Path(path).name
    if name not in REGISTRY:
        raise InputError(path, "is in no registry", f"use one of: {', '.join(REGISTRY)}")
    weights = REGISTRY[name]
    print(f"{weights.file}: {weights.purpose}; licence: {weights.licence}")
    fetch(weights, path)


if __name__ == "__main__":
    with job(snakemake):
        main(snakemake.output.weights)
