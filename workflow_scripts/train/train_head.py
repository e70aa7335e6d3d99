"""Scene → head: audio encoder, head field and occupancy (Eq. 5)."""

from pathlib import Path

from wildtalker_core.media.files import load_arrays
from wildtalker_core.scene.scene import load_scene
from wildtalker_core.training.reads import joined
from wildtalker_core.training.stages import head_stage
from workflow_scripts.job import job
from workflow_scripts.scene_inputs import scene_paths
from workflow_scripts.training_outputs import finish, watch


def main(scene_files: dict[str, str], portrait_path: str, figures_path: str, options: dict) -> None:
    """Write ``head.safetensors`` and ``head.json``.

    Args:
        scene_files: arguments of ``load_scene``.
        options: what the stage reads of the config section ``train`` (``training.reads``).
    """
    folder = Path(portrait_path).parent  # checkpoints and tensorboard there survive a kill
    checkpoints = folder / "checkpoints" / "head"
    with watch(folder / "tensorboard" / "head") as watcher:
        trained = head_stage(
            load_scene(**scene_files), options, checkpoints, watcher.log, watcher.show
        )
    heard = load_arrays(scene_files["audio_features_path"], "backend")
    facts = {"audio_features": str(heard["backend"])}
    finish(trained, "head", facts, Path(portrait_path), Path(figures_path), checkpoints)


if __name__ == "__main__":
    with job(snakemake):
        main(
            scene_paths(snakemake.input),
            snakemake.output.portrait,
            snakemake.output.figures,
            joined(snakemake.params.options, snakemake.params.accompanying),
        )
