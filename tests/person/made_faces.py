"""A face made of arithmetic: landmarks with known pose, shape and motion."""

import numpy as np
import torch

from wildtalker_core.geometry.cameras import project
from wildtalker_core.geometry.rotations import euler_to_matrix, rigid, transform_points
from wildtalker_core.person import landmarks as lm
from wildtalker_core.person.template import to_head_units

HEIGHT = WIDTH = 256
FOCAL = 2.5 * WIDTH


def made_template(seed: int = 0) -> torch.Tensor:
    """478 points on the front of an ellipsoid, named points where a face has them; [478, 3]."""
    rng = np.random.default_rng(seed)
    u, v = rng.uniform(-0.95, 0.95, (2, lm.N_LANDMARKS))
    angles = np.linspace(0, 2 * np.pi, len(lm.FACE_CONTOUR), endpoint=False)
    u[list(lm.FACE_CONTOUR)], v[list(lm.FACE_CONTOUR)] = np.sin(angles), -np.cos(angles)
    for name, (x, y) in {
        lm.RIGHT_CONTOUR: (-1, 0), lm.LEFT_CONTOUR: (1, 0), lm.FOREHEAD: (0, -1), lm.CHIN: (0, 1),
        33: (-0.6, -0.3), 133: (-0.25, -0.3), 362: (0.25, -0.3), 263: (0.6, -0.3), 4: (0, 0.1),
        2: (0, 0.25), 1: (0, 0.12),
    }.items():  # fmt: skip
        u[name], v[name] = x, y
    for outline, x, y, a, b in (
        (lm.RIGHT_EYE, -0.43, -0.3, 0.17, 0.08), (lm.LEFT_EYE, 0.43, -0.3, 0.17, 0.08),
        (lm.LIPS_OUTER, 0, 0.55, 0.35, 0.12), (lm.LIPS_INNER, 0, 0.55, 0.28, 0.05),
        (lm.RIGHT_BROW, -0.43, -0.5, 0.2, 0.04), (lm.LEFT_BROW, 0.43, -0.5, 0.2, 0.04),
    ):  # fmt: skip
        turn = np.linspace(0, 2 * np.pi, len(outline), endpoint=False)
        u[list(outline)], v[list(outline)] = x - a * np.cos(turn), y + b * np.sin(turn)
    z = -0.8 * np.sqrt(np.clip(1 - 0.5 * u**2 - 0.5 * v**2, 0, 1))
    z[[4, 1]] -= 0.25  # a nose
    return to_head_units(torch.from_numpy(np.stack((u, 1.2 * v, z), 1)))


def made_poses(n: int, yaw_degrees: float = 12.0, seed: int = 0) -> torch.Tensor:
    """A head that looks about and sways, [n, 4, 4]."""
    t = torch.arange(n, dtype=torch.float64) / 25
    amplitude = torch.tensor([yaw_degrees, 0.5 * yaw_degrees, 3.0]).deg2rad().double()
    phase = torch.from_numpy(np.random.default_rng(seed).uniform(0, 6, 3))
    frequency = torch.tensor([0.4, 0.55, 0.3], dtype=torch.float64)
    angles = amplitude * torch.sin(2 * torch.pi * t[:, None] * frequency + phase)
    shift = torch.stack((0.05 * torch.sin(t), 0.03 * torch.cos(1.3 * t), 2.4 + 0.05 * t.sin()), 1)
    return rigid(euler_to_matrix(angles), shift)


def made_landmarks(
    template: torch.Tensor, poses: torch.Tensor, noise_px: float = 0.0, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Landmarks [n, 478, 2] and MediaPipe-like depth [n, 478] of a rigid face, float32."""
    in_camera = transform_points(poses, template)
    pixels = project(in_camera, FOCAL, HEIGHT, WIDTH).numpy()
    scale = FOCAL / poses[:, 2, 3]
    depth = ((in_camera[..., 2] - poses[:, None, 2, 3]) * scale[:, None]).numpy()
    rng = np.random.default_rng(seed)
    pixels = pixels + noise_px * rng.standard_normal(pixels.shape)
    return pixels.astype(np.float32), depth.astype(np.float32)
