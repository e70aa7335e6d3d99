"""Optical flow networks of ptlflow (GMFlow, RAFT, ...): frames in, backward flows out."""

from __future__ import annotations

import numpy as np

from wildtalker_core.errors import InputError
from wildtalker_core.pretrained.optional import import_optional
from wildtalker_core.pretrained.torchvision_ops import ensure_torchvision_ops
from wildtalker_core.pretrained.weight_files import read_weights


class PtlFlow:
    """One network of ptlflow as a :data:`wildtalker_core.occlusion.flow.FlowEstimator`.

    Args:
        model: a name of ptlflow, e.g. ``gmflow`` (the paper's) or ``raft_small``.
        weights_path: its state dict (``.pth``, ``.ckpt`` or ``.safetensors``), read as data. Keys
            may lie under ``state_dict`` and carry the prefix ``module.``.
        device: ``auto`` takes the GPU if there is one; else ``cpu`` or ``cuda``.

    Raises InputError: ptlflow is not installed, the model is unknown, or the weights are absent or
        another model's.
    """

    def __init__(self, model: str, weights_path: str, device: str = "auto") -> None:
        ensure_torchvision_ops()
        import torch

        ptlflow = import_optional(
            "ptlflow", "occlusion.flow: ptlflow", "flow", "occlusion.flow: dis needs none"
        )
        if model not in ptlflow.get_model_names():
            raise InputError(
                f"occlusion.flow_model {model}",
                "is not a model of ptlflow",
                f"take one of {', '.join(ptlflow.get_model_names())}",
            )
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        self._device = torch.device(device)
        self._model = ptlflow.get_model(model)
        state = _read_state(weights_path)
        try:
            self._model.load_state_dict(state)
        except RuntimeError as error:
            raise InputError(
                weights_path,
                f"holds no weights of {model} ({str(error).splitlines()[-1].strip()})",
                "give the file that belongs to occlusion.flow_model",
            ) from error
        self._model.eval().to(self._device)

    def __call__(self, frames: np.ndarray, earlier: np.ndarray) -> np.ndarray:
        """[n, height, width, 3] uint8 RGB twice → backward flows [n, height, width, 2] pixels."""
        import torch
        from ptlflow.utils.io_adapter import IOAdapter

        height, width = frames.shape[1:3]
        pairs = np.stack([frames, earlier], axis=1)
        images = torch.from_numpy(pairs).to(self._device).permute(0, 1, 4, 2, 3).float() / 255.0
        adapter = IOAdapter(
            output_stride=self._model.output_stride, input_size=(height, width), cuda=False
        )
        inputs = adapter.prepare_inputs(inputs={"images": images}, image_only=True)
        with torch.inference_mode():
            outputs = adapter.unscale(self._model(inputs))
        return outputs["flows"][:, 0].permute(0, 2, 3, 1).float().cpu().numpy()


def _read_state(path: str) -> dict:
    state = read_weights(
        path,
        "set occlusion.flow_weights_path to the weights of occlusion.flow_model, "
        "or occlusion.flow to dis, which needs none",
        "give a state dict saved by torch.save",
    )
    state = state.get("state_dict", state)
    return {key.removeprefix("module."): value for key, value in state.items()}
