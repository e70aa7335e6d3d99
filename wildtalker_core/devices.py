"""From the host's memory to a device, without waiting for it."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def sent(values: np.ndarray | Tensor, device: torch.device) -> Tensor:
    """Host values as a tensor on ``device``.

    A copy from ordinary memory holds the host up until the GPU has done all that it was asked for;
    one from pinned memory is put in line behind it. PyTorch keeps pinned blocks for the next step.
    """
    tensor = torch.as_tensor(values, device="cpu")
    if device.type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)
