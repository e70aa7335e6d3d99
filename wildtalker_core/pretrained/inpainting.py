"""LaMa (Suvorov et al. 2022) through simple-lama-inpainting: fills the holes of a picture."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from wildtalker_core.errors import InputError
from wildtalker_core.pretrained.torchvision_ops import ensure_torchvision_ops


class Lama:
    """Fills holes: ``lama(frame, is_hidden)`` gives the frame with the hidden pixels repainted.

    Args:
        weights_path: big-lama as TorchScript. If empty, the variable ``LAMA_MODEL`` names it. Any
            TorchScript module (image [1, 3, h, w], hole [1, 1, h, w]) → image does.
        device: ``auto`` takes the GPU if there is one; else ``cpu`` or ``cuda``.

    Raises InputError: there is no such file, or it is no TorchScript. Nothing is ever downloaded
    here: simple-lama-inpainting would fetch an unchecked file.
    """

    def __init__(self, weights_path: str | None = None, device: str = "auto") -> None:
        path = Path(weights_path or os.environ.get("LAMA_MODEL", ""))
        if not path.is_file():
            raise InputError(
                f"occlusion.lama_weights_path {'(not set)' if path == Path() else path}",
                "names no file",
                "set it, or the variable LAMA_MODEL, to big-lama.pt, or set occlusion.inpaint to "
                "temporal, which needs no weights",
            )
        ensure_torchvision_ops()
        import torch
        from simple_lama_inpainting import SimpleLama

        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        previous = os.environ.get("LAMA_MODEL")
        os.environ["LAMA_MODEL"] = str(path)
        try:
            self._lama = SimpleLama(device=torch.device(device))
        except RuntimeError as error:
            raise InputError(
                path, "is not a TorchScript file", "give big-lama.pt as published"
            ) from error
        finally:
            if previous is None:
                del os.environ["LAMA_MODEL"]
            else:
                os.environ["LAMA_MODEL"] = previous

    def __call__(self, frame: np.ndarray, is_hidden: np.ndarray) -> np.ndarray:
        """frame: [height, width, 3] uint8 RGB; is_hidden: [height, width] bool. Same shape back."""
        from PIL import Image

        hole = Image.fromarray(is_hidden.astype(np.uint8) * 255, mode="L")
        filled = np.asarray(self._lama(Image.fromarray(frame), hole))
        # It pads to multiples of 8 and returns the padded size.
        filled = filled[: frame.shape[0], : frame.shape[1]]
        return np.where(is_hidden[..., None], filled, frame)
