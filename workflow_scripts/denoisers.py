"""A denoiser by name, its network with it where it is one."""

from wildtalker_core.speech.denoisers import Denoiser, make_denoiser
from wildtalker_core.speech.options import DenoiserOptions

#: Rows of tables whose name would not say what they are.
ROW_NAMES = {"none": "noisy", "deepfilternet": "deepfilternet (trained network)"}


def denoiser_of(name: str, options: DenoiserOptions) -> Denoiser:
    """The denoiser ``name``, ready to be called.

    Raises InputError: unknown name, impossible scales, a network without its weights.
    """
    if name == "deepfilternet":
        from wildtalker_core.pretrained.deepfilternet import load_deepfilternet

        return Denoiser(load_deepfilternet(options.deepfilternet_model))
    return make_denoiser(name, options)
