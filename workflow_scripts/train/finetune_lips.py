"""Head → head with finetuned lips (Eq. 7)."""

from functools import partial
from pathlib import Path

from wildtalker_core.scene.scene import load_scene
from wildtalker_core.training.reads import joined
from wildtalker_core.training.stages import lips_stage
from workflow_scripts.job import call, job
from workflow_scripts.perceptual import perceptual_loss, settle_perceptual
from workflow_scripts.scene_inputs import scene_paths
from workflow_scripts.training_outputs import train
from workflow_scripts.weight_inputs import NOT_TRIED, Tried, read_tried


def main(
    scene_files: dict[str, str],
    head_path: str,
    portrait_path: str,
    figures_path: str,
    options: dict,
    tried: Tried = NOT_TRIED,
) -> None:
    """Write ``lips.safetensors`` and ``lips.json``; arguments as in ``train_head``.

    Args:
        tried: what became of LPIPS' weights, for ``perceptual: auto``.
    """
    options, reason = settle_perceptual(options, tried, "lips")
    perceptual, name = perceptual_loss(options)
    facts = {"perceptual": name} | ({"why_no_lpips": reason} if reason else {})
    run = partial(lips_stage, load_scene(**scene_files), Path(head_path), options, perceptual)
    train("lips", run, facts, portrait_path, figures_path)


if __name__ == "__main__":
    with job(snakemake):
        options = joined(snakemake.params.options, snakemake.params.accompanying)
        tried = read_tried(snakemake.input.tried)
        files = scene_paths(snakemake.input)
        call(main, snakemake, scene_files=files, options=options, tried=tried)
