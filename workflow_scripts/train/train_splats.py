"""Scene and motion → a whole portrait of Gaussians (Eq. 5 and 6)."""

from functools import partial

from wildtalker_core.scene.body_motion import load_body_motion
from wildtalker_core.scene.scene import load_scene
from wildtalker_core.training.reads import joined
from wildtalker_core.training.stages import splats_stage
from workflow_scripts.job import call, job
from workflow_scripts.perceptual import perceptual_loss, settle_perceptual
from workflow_scripts.scene_inputs import scene_paths
from workflow_scripts.training_outputs import train
from workflow_scripts.weight_inputs import NOT_TRIED, Tried, read_tried


def main(
    scene_files: dict[str, str],
    body_motion_path: str,
    portrait_path: str,
    figures_path: str,
    options: dict,
    tried: Tried = NOT_TRIED,
) -> None:
    """Write ``splats.safetensors`` and ``splats.json``; arguments as in ``finetune_lips``."""
    options, reason = settle_perceptual(options, tried, "splats")
    perceptual, name = perceptual_loss(options)
    facts = {key: options[key] for key in ("static_weight", "torso_reference")}
    facts |= {"perceptual": name} | ({"why_no_lpips": reason} if reason else {})
    scene, motion = load_scene(**scene_files), load_body_motion(body_motion_path)
    run = partial(splats_stage, scene, motion, options, perceptual)
    train("splats", run, facts, portrait_path, figures_path)


if __name__ == "__main__":
    with job(snakemake):
        options = joined(snakemake.params.options, snakemake.params.accompanying)
        tried = read_tried(snakemake.input.tried)
        files = scene_paths(snakemake.input)
        call(main, snakemake, scene_files=files, options=options, tried=tried)
