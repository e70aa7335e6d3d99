"""A denoiser by name, its network with it where it is one."""

from collections.abc import Mapping
from typing import Any

from wildtalker_core.speech.denoisers import Denoiser, make_denoiser

#: Rows of tables whose name would not say what they are.
ROW_NAMES = {"none": "noisy", "deepfilternet": "deepfilternet (trained network)"}


def denoiser_of(name: str, options: Mapping[str, Any]) -> Denoiser:
    """The denoiser ``name`` with its options of the config section ``speech``.

    Raises InputError: unknown name, impossible scales, a network without its weights.
    """
    if name == "deepfilternet":
        from wildtalker_core.pretrained.deepfilternet import load_deepfilternet

        return Denoiser(load_deepfilternet(options["deepfilternet_model"]))
    return make_denoiser(name, options)
