"""One body of 3-D Gaussians: head, neck and torso in one set, moved by bones and linear bases.

Kerbl et al. 2023 give the Gaussians, linear blend skinning the bones. All that the face does is
linear in a few conditions (Cootes et al. 2001: appearance models): places, colours and opacities
move along learnt directions. These are held at nodes and interpolated between them, so that
neighbours move alike: a direction for each Gaussian on its own learns a short clip by heart and
breaks hair and cheeks into specks where the head turns as it was not seen to.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int32
from torch import Tensor, nn

#: Bones, in the order of the skinning weights.
BONES = ("head", "torso")
#: Nodes that the bases of a Gaussian are interpolated from.
N_NEAR = 4


@dataclass(frozen=True)
class BodyShape:
    """Everything that decides a body's tensors.

    Attributes:
        n_head: Gaussians that follow the head alone and hold the face's bases. They come first.
        n_rest: the others: neck, torso, hair and cloth below the jaw.
        n_face: conditions of the first (mouth, expression, gaze, turn of the head).
        n_soft: conditions of the others.
        n_face_nodes, n_soft_nodes: places at which the bases of either part are held.
    """

    n_head: int
    n_rest: int
    n_face: int
    n_soft: int
    n_face_nodes: int
    n_soft_nodes: int

    @property
    def n(self) -> int:
        return self.n_head + self.n_rest

    def to_dict(self) -> dict[str, int]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, int]) -> BodyShape:
        """Inverse of :meth:`to_dict`; before there were nodes each Gaussian was its own."""
        own = {"n_face_nodes": values["n_head"], "n_soft_nodes": values["n_rest"]}
        return cls(**{**own, **values})


@dataclass(frozen=True)
class Gaussians:
    """What is projected and drawn.

    Attributes:
        means: head units.
        quaternions: (w, x, y, z), any length.
        opacities: in (0, 1).
    """

    means: Float[Tensor, "n 3"]
    quaternions: Float[Tensor, "n 4"]
    log_scales: Float[Tensor, "n 3"]
    colours: Float[Tensor, "n 3"]
    opacities: Float[Tensor, "n"]


class Bases(nn.Module):
    """Directions along which ``n`` Gaussians move, linear in ``n_conditions`` numbers.

    Attributes:
        near: nodes of each Gaussian.
        shares: their weights, rows sum to 1.
    """

    near: Int32[Tensor, "n near"]
    shares: Float[Tensor, "n near"]

    def __init__(self, n: int, n_nodes: int, n_conditions: int) -> None:
        super().__init__()
        self.means = nn.Parameter(torch.zeros(n_nodes, 3, n_conditions))
        self.colours = nn.Parameter(torch.zeros(n_nodes, 3, n_conditions))
        self.opacities = nn.Parameter(torch.zeros(n_nodes, n_conditions))
        # Until it is set: with as many nodes as Gaussians each is its own.
        own = torch.arange(n, dtype=torch.int32) % max(n_nodes, 1)
        self.register_buffer("near", own[:, None].repeat(1, N_NEAR))
        self.register_buffer("shares", torch.full((n, N_NEAR), 1 / N_NEAR))

    def _load_from_state_dict(
        self, state_dict: dict[str, Tensor], prefix: str, *others: Any
    ) -> None:
        """As PyTorch's. Files from before there were nodes hold a direction for each Gaussian."""
        if len(self.means) == len(self.near):
            state_dict.setdefault(f"{prefix}near", self.near)
            state_dict.setdefault(f"{prefix}shares", self.shares)
        super()._load_from_state_dict(state_dict, prefix, *others)

    def forward(
        self, conditions: Float[Tensor, "k"]
    ) -> tuple[Float[Tensor, "n 3"], Float[Tensor, "n 3"], Float[Tensor, "n"]]:
        """Changes of means, colours and opacity logits."""
        k = len(conditions)
        of_nodes = (
            torch.mv(self.means.view(-1, k), conditions).view(-1, 3),
            torch.mv(self.colours.view(-1, k), conditions).view(-1, 3),
            torch.mv(self.opacities, conditions)[:, None],
        )
        moved = F.embedding_bag(
            self.near, torch.cat(of_nodes, 1), mode="sum", per_sample_weights=self.shares
        )
        return moved[:, :3], moved[:, 3:6], moved[:, 6]


class Body(nn.Module):
    """Gaussians in the head's canonical place, their bases and their skinning weights."""

    weights: Float[Tensor, "n bones"]

    def __init__(self, shape: BodyShape) -> None:
        super().__init__()
        self.shape = shape
        n = shape.n
        self.means = nn.Parameter(torch.zeros(n, 3))
        self.quaternions = nn.Parameter(torch.tensor([1.0, 0, 0, 0]).repeat(n, 1))
        self.log_scales = nn.Parameter(torch.zeros(n, 3))
        self.colours = nn.Parameter(torch.zeros(n, 3))
        self.opacity_logits = nn.Parameter(torch.zeros(n))
        self.face = Bases(shape.n_head, shape.n_face_nodes, shape.n_face)
        self.soft = Bases(shape.n_rest, shape.n_soft_nodes, shape.n_soft)
        self.register_buffer("weights", torch.zeros(n, len(BONES)))

    def forward(
        self,
        face: Float[Tensor, "{self.shape.n_face}"],
        soft: Float[Tensor, "{self.shape.n_soft}"],
    ) -> Gaussians:
        """The body under conditions ``face`` and ``soft``."""
        moved = [torch.cat(parts) for parts in zip(self.face(face), self.soft(soft), strict=True)]
        return Gaussians(
            self.means + moved[0],
            self.quaternions,
            self.log_scales,
            self.colours + moved[1],
            torch.sigmoid(self.opacity_logits + moved[2]),
        )
