"""Head → head with finetuned lips (Eq. 7)."""

from pathlib import Path

from wildtalker_core.pretrained.lpips_model import MIN_SIDE_PX, LpipsModel
from wildtalker_core.scene.scene import load_scene
from wildtalker_core.training.build import choose_device
from wildtalker_core.training.losses import PerceptualLoss, ms_ssim_loss
from wildtalker_core.training.stages import lips_stage
from workflow_scripts.job import job
from workflow_scripts.scene_inputs import scene_paths
from workflow_scripts.training_outputs import finish, watch
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
    options, reason = settle_perceptual(options, tried)
    folder = Path(portrait_path).parent  # checkpoints and tensorboard there survive a kill
    checkpoints = folder / "checkpoints" / "lips"
    perceptual, name = perceptual_loss(options)
    with watch(folder / "tensorboard" / "lips") as watcher:
        trained = lips_stage(
            load_scene(**scene_files), Path(head_path), options, perceptual, checkpoints,
            watcher.log, watcher.show,
        )  # fmt: skip
    facts = {"perceptual": name} | ({"why_no_lpips": reason} if reason else {})
    finish(trained, "lips", facts, Path(portrait_path), Path(figures_path), checkpoints)


def settle_perceptual(options: dict, tried: Tried) -> tuple[dict, str]:
    """``auto`` becomes ``lpips`` where it can be, else ``none``; and the reason if it cannot."""
    if options["perceptual"] != "auto":
        return options, ""
    if options["lips"]["patch_size"] < MIN_SIDE_PX:
        return options | {"perceptual": "none"}, f"lip patches below {MIN_SIDE_PX} px"
    if tried.path is None:
        return options | {"perceptual": "none"}, tried.reason
    return options | {"perceptual": "lpips", "lpips_backbone": tried.path}, ""


def perceptual_loss(options: dict) -> tuple[PerceptualLoss | None, str]:
    """The loss that the config names, and its name for the tables.

    Raises InputError: ``lpips`` without its weights.
    """
    if options["perceptual"] == "none":
        return None, "none"
    if options["perceptual"] == "ms_ssim":
        return ms_ssim_loss, "ms_ssim"
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
            read_tried(snakemake.input.tried),
        )
