"""LPIPS (Zhang et al. 2018): learned perceptual distance of two pictures, package ``lpips``.

The linear heads lie inside the package; the backbone's weights are torchvision's ImageNet file and
must be given (the weight registry has them). Without them there is no LPIPS.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import torch

from wildtalker_core.errors import InputError
from wildtalker_core.media.files import AnyPath
from wildtalker_core.pretrained.torchvision_ops import ensure_torchvision_ops
from wildtalker_core.pretrained.weight_files import read_weights

#: Smallest side that all pooling layers of the backbones can take.
MIN_SIDE_PX = 32


class LpipsModel(torch.nn.Module):
    """Distance of pictures, differentiable in both; frozen weights.

    Args:
        backbone_path: torchvision's ImageNet weights of the backbone (``features.*`` keys).
        net: ``alex`` as the whole field has it; ``vgg`` for comparison with older papers.
        device: where it computes.

    Raises:
        InputError: the file is absent, unreadable or of another network.
    """

    def __init__(
        self,
        backbone_path: AnyPath,
        net: Literal["alex", "vgg"] = "alex",
        device: str | torch.device = "cpu",
    ) -> None:
        super().__init__()
        if_absent = "fetch it, or say evaluate.lpips_weights: auto"
        weights = read_weights(backbone_path, if_absent, "fetch it again")
        ensure_torchvision_ops()
        import lpips

        self._distance = lpips.LPIPS(net=net, pretrained=True, pnet_rand=True, verbose=False)
        self._load_backbone(weights, backbone_path, net)
        self._distance.requires_grad_(False).eval().to(device)
        self.backend = f"lpips {net}, backbone {Path(backbone_path).name}"

    def _load_backbone(self, weights: dict[str, torch.Tensor], path: AnyPath, net: str) -> None:
        # The package keeps torchvision's layers, by their numbers, in slices: "slice2.3.weight" is
        # torchvision's "features.3.weight".
        wanted = self._distance.net.state_dict()
        layers = {name: "features." + name.split(".", 1)[1] for name in wanted}
        missing = sorted(set(layers.values()) - set(weights))
        if missing:
            raise InputError(
                path,
                f"is no {net} backbone of torchvision (lacks {missing[0]})",
                "give the ImageNet weights of that network",
            )
        for name, layer in layers.items():
            if weights[layer].shape != wanted[name].shape:
                raise InputError(
                    path,
                    f"has {layer} of shape {tuple(weights[layer].shape)}, want "
                    f"{tuple(wanted[name].shape)}",
                    f"give torchvision's ImageNet weights of {net}",
                )
        self._distance.net.load_state_dict({name: weights[layer] for name, layer in layers.items()})

    def forward(self, reference: torch.Tensor, estimate: torch.Tensor) -> torch.Tensor:
        """[batch, 3, height, width] RGB in [0, 1] on either side -> [batch] distances.

        Raises ValueError below ``MIN_SIDE_PX`` pixels a side.
        """
        if min(reference.shape[-2:]) < MIN_SIDE_PX:
            raise ValueError(
                f"LPIPS needs {MIN_SIDE_PX} px a side, not {tuple(reference.shape[-2:])}"
            )
        return self._distance(reference, estimate, normalize=True).reshape(len(reference))

    @torch.no_grad()
    def score(self, reference: np.ndarray, estimate: np.ndarray) -> float:
        """Distance of two frames [height, width, 3] uint8."""
        device = next(self._distance.parameters()).device
        pair = [
            torch.from_numpy(np.ascontiguousarray(frame)).to(device).permute(2, 0, 1)[None] / 255.0
            for frame in (reference, estimate)
        ]
        return float(self(*pair)[0])
