"""Scene → head: audio encoder, head field and occupancy (Eq. 5)."""

from pathlib import Path

from wildtalker_core.scene.scene import load_scene
from wildtalker_core.training.stages import head_stage
from workflow_scripts.job import job
from workflow_scripts.training_outputs import finish, log_to


def main(scene_paths: dict[str, str], portrait_path: str, figures_path: str, options: dict) -> None:
    """Write ``head.safetensors`` and ``head.json``.

    Args:
        scene_paths: arguments of ``load_scene``.
        options: the config section ``train``, with its preset filled in.
    """
    folder = Path(portrait_path).parent  # checkpoints and tensorboard there survive a kill
    checkpoints = folder / "checkpoints" / "head"
    with log_to(folder / "tensorboard" / "head") as log:
        trained = head_stage(load_scene(**scene_paths), options, checkpoints, log)
    finish(trained, "head", {}, Path(portrait_path), Path(figures_path), checkpoints)


if __name__ == "__main__":
    with job(snakemake):
        main(
            {f"{name}_path": snakemake.input[name] for name in snakemake.params.scene_inputs},
            snakemake.output.portrait,
            snakemake.output.figures,
            snakemake.params.options,
        )
