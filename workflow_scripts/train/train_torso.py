"""Head → whole portrait: the torso under the frozen head (Eq. 6)."""

from pathlib import Path

from wildtalker_core.scene.scene import load_scene
from wildtalker_core.training.stages import torso_stage
from workflow_scripts.job import job
from workflow_scripts.training_outputs import finish, log_to


def main(
    scene_paths: dict[str, str],
    lips_path: str,
    portrait_path: str,
    figures_path: str,
    options: dict,
) -> None:
    """Write ``torso.safetensors`` and ``torso.json``; arguments as in ``train_head``."""
    folder = Path(portrait_path).parent  # checkpoints and tensorboard there survive a kill
    checkpoints = folder / "checkpoints" / "torso"
    with log_to(folder / "tensorboard" / "torso") as log:
        trained = torso_stage(load_scene(**scene_paths), Path(lips_path), options, checkpoints, log)
    facts = {name: options[name] for name in ("static_weight", "torso_reference")}
    finish(trained, "torso", facts, Path(portrait_path), Path(figures_path), checkpoints)


if __name__ == "__main__":
    with job(snakemake):
        main(
            {f"{name}_path": snakemake.input[name] for name in snakemake.params.scene_inputs},
            snakemake.input.lips,
            snakemake.output.portrait,
            snakemake.output.figures,
            snakemake.params.options,
        )
