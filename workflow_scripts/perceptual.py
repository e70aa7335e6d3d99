"""The perceptual loss that a config names (Eq. 7)."""

from wildtalker_core.pretrained.lpips_model import MIN_SIDE_PX, LpipsModel
from wildtalker_core.training.build import choose_device
from wildtalker_core.training.losses import PerceptualLoss, ms_ssim_loss
from workflow_scripts.weight_inputs import Tried


def settle_perceptual(options: dict, tried: Tried, stage: str) -> tuple[dict, str]:
    """``auto`` becomes ``lpips`` where it can be, else ``none``; and the reason if it cannot.

    Args:
        stage: section of ``options`` that has the patch, ``lips`` or ``splats``.
    """
    if options["perceptual"] != "auto":
        return options, ""
    if options[stage]["patch_size"] < MIN_SIDE_PX:
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
