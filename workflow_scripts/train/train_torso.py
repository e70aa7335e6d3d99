"""Head → whole portrait: the torso under the frozen head (Eq. 6)."""

from pathlib import Path

from wildtalker_core.scene.body_motion import load_body_motion
from wildtalker_core.scene.scene import load_scene
from wildtalker_core.training.reads import joined
from wildtalker_core.training.stages import torso_stage
from workflow_scripts.job import job
from workflow_scripts.scene_inputs import scene_paths
from workflow_scripts.training_outputs import finish, watch


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
    folder = Path(portrait_path).parent  # checkpoints and tensorboard there survive a kill
    checkpoints = folder / "checkpoints" / "torso"
    with watch(folder / "tensorboard" / "torso") as watcher:
        trained = torso_stage(
            load_scene(**scene_files), load_body_motion(body_motion_path), Path(lips_path), options,
            checkpoints, watcher.log, watcher.show,
        )  # fmt: skip
    facts = {name: options[name] for name in ("static_weight", "torso_reference")}
    facts["head_of"] = head_of
    finish(trained, "torso", facts, Path(portrait_path), Path(figures_path), checkpoints)


if __name__ == "__main__":
    with job(snakemake):
        main(
            scene_paths(snakemake.input),
            snakemake.input.body_motion,
            snakemake.input.lips,
            snakemake.output.portrait,
            snakemake.output.figures,
            joined(snakemake.params.options, snakemake.params.accompanying),
            snakemake.params.head_of,
        )
