"""Where the bases of a portrait of Gaussians are held: nodes among the Gaussians."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from wildtalker_core.mouth.shape import LIPS
from wildtalker_core.scene.face_points import LEFT_EYE, RIGHT_EYE
from wildtalker_core.splats.body import N_NEAR

_IRISES = range(468, 478)  # MediaPipe's, both
#: Head units (the face is .30 wide) around lips and eyes in which each Gaussian is a node.
#: ASSUME lids and lips move past what is beside them.
_FINE = 0.025
#: Width of the interpolation's bell in units of the distance of the last of the near nodes.
_BELL = 0.6


@dataclass(frozen=True)
class Nodes:
    """Which Gaussians are nodes, and how the others lie between them.

    Attributes:
        index: [m] numbers of the Gaussians that are nodes.
        near: [n, N_NEAR] numbers of nodes; shares: [n, N_NEAR] weights, rows sum to 1.
    """

    index: np.ndarray
    near: np.ndarray
    shares: np.ndarray


def place_nodes(means: np.ndarray, spacing: float, is_fine: np.ndarray | None = None) -> Nodes:
    """One node in each cube of side ``spacing`` that holds Gaussians.

    Args:
        means: [n, 3] head units; spacing: head units.
        is_fine: [n] bool, Gaussians that are nodes themselves.
    """
    if not len(means):
        empty = np.zeros((0, N_NEAR))
        return Nodes(np.zeros(0, int), empty.astype(np.int32), empty.astype(np.float32))
    cells = np.floor(means / spacing).astype(np.int64)
    is_node = np.zeros(len(means), bool) if is_fine is None else is_fine.copy()
    is_node[np.unique(cells, axis=0, return_index=True)[1]] = True
    index = np.flatnonzero(is_node)
    if len(index) < N_NEAR:  # A node may be there twice: the interpolation is the same.
        index = np.resize(index, N_NEAR)
    distance, near = cKDTree(means[index]).query(means, k=N_NEAR)
    shares = np.exp(-np.square(distance / (_BELL * distance[:, -1:]).clip(1e-9)))
    shares /= shares.sum(1, keepdims=True)
    return Nodes(index, near.astype(np.int32), shares.astype(np.float32))


def near_lips_and_eyes(means: np.ndarray, template: np.ndarray) -> np.ndarray:
    """[n] bool of Gaussians [n, 3] near those landmarks of the template [478, 3], as seen."""
    parts = template[[*LIPS, *LEFT_EYE, *RIGHT_EYE, *_IRISES], :2]
    return cKDTree(parts).query(means[:, :2])[0] < _FINE
