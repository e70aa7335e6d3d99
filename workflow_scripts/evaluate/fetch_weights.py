"""A file of the weight registry → ``weights/``."""

from wildtalker_core.errors import InputError
from wildtalker_core.pretrained.weight_fetching import fetch
from wildtalker_core.pretrained.weight_registry import REGISTRY
from workflow_scripts.job import job


def main(file: str, path: str) -> None:
    """Fetch the registry's ``file`` to ``path`` and prove its sum."""
    if file not in REGISTRY:
        raise InputError(path, "is in no registry", f"use one of: {', '.join(REGISTRY)}")
    weights = REGISTRY[file]
    print(f"{weights.name}: {weights.purpose}; licence: {weights.licence}")
    proven = "as registered" if weights.sha256 else "not proven: no sum is registered"
    print(f"{path}: sha256 {fetch(weights, path)} ({proven})")


if __name__ == "__main__":
    with job(snakemake):
        main(snakemake.wildcards.file, snakemake.output.weights)
