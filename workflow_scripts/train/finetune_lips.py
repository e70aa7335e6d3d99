"""Head → head with finetuned lips (Eq. 7)."""

from pathlib import Path

from wildtalker_core.errors import InputError
from wildtalker_core.scene.scene import load_scene
from wildtalker_core.training.build import choose_device
from wildtalker_core.training.losses import PerceptualLoss, ms_ssim_loss
from wildtalker_core.training.stages import lips_stage
from workflow_scripts.job import job
from workflow_scripts.scene_inputs import scene_paths
from workflow_scripts.training_outputs import finish, watch


def main(
    scene_files: dict[str, str],
    head_path: str,
    portrait_path: str,
    figures_path: str,
    options: dict,
) -> None:
    """Write ``lips.safetensors`` and ``lips.json``; arguments as in ``train_head``."""
    folder = Path(portrait_path).parent  # checkpoints and tensorboard there survive a kill
    checkpoints = folder / "checkpoints" / "lips"
    perceptual, name = perceptual_loss(options)
    with watch(folder / "tensorboard" / "lips") as watcher:
        trained = lips_stage(
            load_scene(**scene_files), Path(head_path), options, perceptual, checkpoints,
            watcher.log, watcher.show,
        )  # fmt: skip
    facts = {"perceptual": name}
    finish(trained, "lips", facts, Path(portrait_path), Path(figures_path), checkpoints)


def perceptual_loss(options: dict) -> tuple[PerceptualLoss | None, str]:
    """The loss that the config names, and its name for the tables.

    Raises InputError: ``lpips`` without its weights.
    """
    if options["perceptual"] == "none":
        return None, "none"
    if options["perceptual"] == "ms_ssim":
        return ms_ssim_loss, "ms_ssim"
    if not options["lpips_backbone"]:
        raise InputError(
            "config train.perceptual",
            "is lpips, but train.lpips_backbone names no file with its weights",
            "give the file, or use ms_ssim or none",
        )
    from wildtalker_core.pretrained.lpips_model import LpipsModel

    model = LpipsModel(options["lpips_backbone"], device=choose_device(options["device"]))

    def lpips(estimate, reference):
        return model(reference.permute(0, 3, 1, 2), estimate.permute(0, 3, 1, 2)).mean()

    return lpips, model.backend


if __name__ == "__main__":
    with job(snakemake):
        main(
            scene_paths(snakemake.input),
            snakemake.input.head,
            snakemake.output.portrait,
            snakemake.output.figures,
            snakemake.params.options,
        )
