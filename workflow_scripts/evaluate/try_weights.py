"""Weights that a run uses where they can be had -> a small file that says where, or why not."""

from pathlib import Path

from wildtalker_core.errors import InputError
from wildtalker_core.media.files import save_json
from wildtalker_core.pretrained.weight_fetching import fetch
from wildtalker_core.pretrained.weight_registry import REGISTRY
from workflow_scripts.job import call, job


def main(file: str, path: str, said_path: str, given_later: bool) -> None:
    """Fetch the registry's ``file`` to ``path`` if it can be; a run without network goes on.

    Writes ``path`` (null where the file is absent), ``reason`` and ``given_later``.

    Args:
        given_later: the file was absent in an earlier run and is there now
            (``weight_inputs.was_given_later``).
    """
    said = {"path": path, "reason": "", "given_later": given_later}
    try:
        print(f"{path}: sha256 {fetch(REGISTRY[file], path)}")
    except InputError as error:
        if Path(path).exists():
            raise  # another content than the registry's: not to be used, nor passed over
        print(error)
        said |= {"path": None, "reason": str(error)}
    save_json(said_path, said)


if __name__ == "__main__":
    with job(snakemake):
        call(main, snakemake)
