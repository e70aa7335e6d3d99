"""Scene → head: audio encoder, head field and occupancy (Eq. 5)."""

from functools import partial

from wildtalker_core.media.files import load_arrays
from wildtalker_core.scene.scene import load_scene
from wildtalker_core.training.reads import joined
from wildtalker_core.training.stages import head_stage
from workflow_scripts.job import call, job
from workflow_scripts.scene_inputs import scene_paths
from workflow_scripts.training_outputs import train


def main(scene_files: dict[str, str], portrait_path: str, figures_path: str, options: dict) -> None:
    """Write ``head.safetensors`` and ``head.json``.

    Args:
        scene_files: arguments of ``load_scene``.
        options: what the stage reads of the config section ``train`` (``training.reads``).
    """
    heard = load_arrays(scene_files["audio_features_path"], "backend")
    facts = {"audio_features": str(heard["backend"])}
    run = partial(head_stage, load_scene(**scene_files), options)
    train("head", run, facts, portrait_path, figures_path)


if __name__ == "__main__":
    with job(snakemake):
        options = joined(snakemake.params.options, snakemake.params.accompanying)
        files = scene_paths(snakemake.input)
        call(main, snakemake, scene_files=files, options=options)
