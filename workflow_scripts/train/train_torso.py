"""Head → whole portrait: the torso under the frozen head (Eq. 6)."""

from functools import partial
from pathlib import Path

from wildtalker_core.scene.body_motion import load_body_motion
from wildtalker_core.scene.scene import load_scene
from wildtalker_core.training.reads import joined
from wildtalker_core.training.stages import torso_stage
from workflow_scripts.job import call, job
from workflow_scripts.scene_inputs import scene_paths
from workflow_scripts.training_outputs import train


def main(
    scene_files: dict[str, str],
    body_motion_path: str,
    lips_path: str,
    portrait_path: str,
    figures_path: str,
    options: dict,
    head_of: str,
) -> None:
    """Write ``torso.safetensors`` and ``torso.json``; arguments as in ``train_head``.

    Args:
        head_of: name of the method whose head and lips these are.
    """
    facts = {name: options[name] for name in ("static_weight", "torso_reference")}
    facts["head_of"] = head_of
    scene, motion = load_scene(**scene_files), load_body_motion(body_motion_path)
    run = partial(torso_stage, scene, motion, Path(lips_path), options)
    train("torso", run, facts, portrait_path, figures_path)


if __name__ == "__main__":
    with job(snakemake):
        options = joined(snakemake.params.options, snakemake.params.accompanying)
        files = scene_paths(snakemake.input)
        call(main, snakemake, scene_files=files, options=options)
