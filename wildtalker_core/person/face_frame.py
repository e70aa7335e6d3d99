"""The face's own axes in the picture, and its jaw line: where a pixel lies beside the face."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wildtalker_core.person import landmarks as lm


@dataclass(frozen=True)
class FaceFrame:
    """Axes of a face in the picture: u from its middle along its width, v from the chin down.

    The middle lies between the contour's two sides, above the neck; the chin of a turned head does
    not.

    Attributes:
        origin, u_axis, v_axis: [2] pixels and unit vectors.
        width, height: of the face contour along u and v, pixels; a turned face is as wide as one
            that looks ahead.
        jaw: [k, 2] (u, v) of the line under which neck and torso begin, u increasing.
    """

    origin: np.ndarray
    u_axis: np.ndarray
    v_axis: np.ndarray
    width: float
    height: float
    jaw: np.ndarray

    @classmethod
    def of(cls, landmarks: np.ndarray) -> FaceFrame:
        """From one frame's landmarks [478, 2] pixels."""
        points = landmarks.astype(np.float64)
        across = points[lm.LEFT_CONTOUR] - points[lm.RIGHT_CONTOUR]
        u_axis = across / np.linalg.norm(across)
        v_axis = np.array([-u_axis[1], u_axis[0]])
        axes = np.stack((u_axis, v_axis), 1)
        contour = (points[list(lm.FACE_CONTOUR)] - points[lm.CHIN]) @ axes
        origin = points[lm.CHIN] + (contour[:, 0].min() + contour[:, 0].max()) / 2 * u_axis
        jaw = (points[list(lm.JAW)] - origin) @ axes
        # ASSUME: beside the face, head (ears, hair) goes down to the angle of the jaw.
        jaw[:, 1] = np.maximum(jaw[:, 1], jaw[[4, -5], 1].mean())
        # Turned heads fold the line at its far end; keep u increasing.
        order = np.argsort(jaw[:, 0])
        width, height = np.ptp(contour, axis=0)
        # ASSUME: no face is narrower than three quarters of its height.
        width = max(width, 0.75 * height)
        return cls(origin, u_axis, v_axis, float(width), float(height), jaw[order])

    def coordinates(self, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
        """u and v of every pixel centre, each [height, width] float32."""
        x = np.arange(width, dtype=np.float32) + 0.5 - np.float32(self.origin[0])
        y = np.arange(height, dtype=np.float32)[:, None] + 0.5 - np.float32(self.origin[1])
        u = x * np.float32(self.u_axis[0]) + y * np.float32(self.u_axis[1])
        v = x * np.float32(self.v_axis[0]) + y * np.float32(self.v_axis[1])
        return u, v

    def below_jaw(self, u: np.ndarray, v: np.ndarray) -> np.ndarray:
        """Signed distance below the jaw line along v, pixels, of the shape of u."""
        return v - np.interp(u, self.jaw[:, 0], self.jaw[:, 1]).astype(np.float32)
