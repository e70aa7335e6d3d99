"""The face of the photograph as it speaks and blinks: lids, lips and jaw are warped."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from head_surface import CHIN
from scipy.interpolate import PchipInterpolator

UPPER_LIP = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308)
LOWER_LIP = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308)
UPPER_LIDS = (
    (33, 246, 161, 160, 159, 158, 157, 173, 133),
    (362, 398, 384, 385, 386, 387, 388, 466, 263),
)
LOWER_LIDS = (
    (33, 7, 163, 144, 145, 153, 154, 155, 133),
    (362, 382, 381, 380, 374, 373, 390, 249, 263),
)


@dataclass(frozen=True)
class _Slit:
    """A mouth or an eye in its own axes: u along the line of its corners, v downwards."""

    centre: np.ndarray
    along: np.ndarray
    half_width: float
    knots: np.ndarray
    upper: PchipInterpolator
    lower: PchipInterpolator

    def to_local(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        offset = points - self.centre
        u = offset @ self.along
        v = offset @ np.array([-self.along[1], self.along[0]])
        return u, v

    def to_canvas(self, du: np.ndarray, dv: np.ndarray) -> np.ndarray:
        return du[..., None] * self.along + dv[..., None] * np.array(
            [-self.along[1], self.along[0]]
        )

    def curves(self, u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        inside = np.clip(u, self.knots[0], self.knots[-1])
        return self.upper(inside), self.lower(inside)


def _make_slit(landmarks: np.ndarray, upper: tuple[int, ...], lower: tuple[int, ...]) -> _Slit:
    first, last = landmarks[upper[0]], landmarks[upper[-1]]
    centre = (first + last) / 2
    along = (last - first) / np.linalg.norm(last - first)
    across = np.array([-along[1], along[0]])

    def curve(indices: tuple[int, ...]) -> PchipInterpolator:
        offset = landmarks[list(indices)] - centre
        u, v = offset @ along, offset @ across
        order = np.argsort(u)
        return PchipInterpolator(u[order], v[order])

    half = float(np.linalg.norm(last - first)) / 2
    return _Slit(centre, along, half, np.array([-half, half]), curve(upper), curve(lower))


def _smoothstep(x: np.ndarray) -> np.ndarray:
    x = np.clip(x, 0.0, 1.0)
    return x * x * (3.0 - 2.0 * x)


# ASSUME: a mouth wide open in speech measures 9.5 canvas pixels here (a ninth of the face height).
MAX_APERTURE_PX = 9.5


class SpeakingFace:
    """Maps a point of the talking face back to the photograph, and paints the inside of the
    mouth."""

    def __init__(self, landmarks: np.ndarray) -> None:
        self.mouth = _make_slit(landmarks, UPPER_LIP, LOWER_LIP)
        self.eyes = [
            _make_slit(landmarks, upper, lower)
            for upper, lower in zip(UPPER_LIDS, LOWER_LIDS, strict=True)
        ]
        self.chin_v = float(self.mouth.to_local(landmarks[[CHIN]])[1][0])
        self.brows = landmarks[[105, 334]]
        self.box = (landmarks.min(0) - 14.0, landmarks.max(0) + np.array([14.0, 40.0]))

    def pull_back(
        self, points: np.ndarray, opening: float, rounding: float, blink: float, brow: float
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Undo the expression at canvas points [..., 2].

        Returns where they lie in the photograph [..., 2], how much of each is mouth interior [...],
        and signed distances [...] above the upper and below the lower inner lip.
        """
        shift = np.zeros_like(points)
        mouth = self.mouth
        u, v = mouth.to_local(points)
        half = mouth.half_width
        # Speech narrows the smile of the photograph; rounded vowels narrow it further.
        narrow = 0.07 + 0.13 * max(rounding, 0.0) - 0.05 * max(-rounding, 0.0) + 0.03 * opening
        zone = np.exp(-0.5 * ((u / (1.7 * half)) ** 2 + (v / (1.3 * half)) ** 2))
        u_source = u * (1.0 + narrow * zone)
        upper, lower = mouth.curves(u_source)
        profile = np.clip(1.0 - (u_source / half) ** 2, 0.0, 1.0)
        bow = profile**0.65
        gap = np.maximum(lower - upper, 0.0)
        aperture = MAX_APERTURE_PX * opening
        seam = upper + 0.42 * gap
        upper_now = seam - 0.20 * aperture * bow
        lower_now = seam + 0.80 * aperture * bow

        above, below = upper_now - v, v - lower_now
        lift = (upper - upper_now) * _smoothstep(1.0 - above / 9.0)
        lip = _smoothstep(1.0 - below / 11.0)
        closing = (lower - seam) * lip
        chin_now = self.chin_v + 0.8 * aperture
        jaw_wide = np.exp(-0.5 * (u / 24.0) ** 2)
        jaw = -0.80 * aperture * (bow * lip + (1.0 - lip) * 0.85 * jaw_wide)
        jaw = jaw * _smoothstep(1.0 - (v - chin_now) / 26.0)
        dv = np.where(v < (upper_now + lower_now) / 2, lift, closing + jaw)
        interior = _smoothstep(np.minimum(v - upper_now, lower_now - v) / 1.3 + 0.5)
        interior = interior * (np.abs(u_source) < half) * _smoothstep(profile / 0.08)
        # Teeth belong to the skull: inside the mouth the photograph stays where it is.
        shift += mouth.to_canvas((u_source - u) * (1 - interior), dv * (1 - interior))

        for eye in self.eyes:
            u, v = eye.to_local(points)
            upper, lower = eye.curves(u)
            # The lash line hangs a little below the mesh's lid line and must travel with the lid.
            upper = upper + 0.5 * np.clip(1 - (u / eye.half_width) ** 2, 0, 1)
            near = (np.abs(u) < eye.half_width).astype(float)
            gap = np.maximum(lower - upper, 0.0)
            lid = upper + blink * 0.90 * gap
            floor = lower - blink * 0.10 * gap
            reach = 8.0 + (lid - upper)
            from_above = (upper - lid) * _smoothstep(1.0 - (lid - v) / reach)
            from_below = (lower - floor) * _smoothstep(1.0 - (v - floor) / 6.0)
            edge = _smoothstep((lid - v) / 0.7 + 0.5)
            edge_low = _smoothstep((v - floor) / 0.7 + 0.5)
            dv = near * (from_above * edge + from_below * edge_low * (1 - edge))
            shift += eye.to_canvas(np.zeros_like(dv), dv)
        for centre in self.brows:
            offset = points - centre
            bump = np.exp(-0.5 * ((offset[..., 0] / 11.0) ** 2 + (offset[..., 1] / 6.0) ** 2))
            shift[..., 1] += 1.6 * brow * bump
        return points + shift, interior, above, below

    def paint_interior(
        self,
        photograph: np.ndarray,
        points: np.ndarray,
        above: np.ndarray,
        below: np.ndarray,
        opening: float,
    ) -> np.ndarray:
        """Colour [..., 3] inside the mouth: the photograph's upper teeth, darkness, some tongue."""
        u, v = self.mouth.to_local(points)
        upper, lower = self.mouth.curves(u)
        width = np.clip(1 - (u / self.mouth.half_width) ** 2, 0, 1)
        teeth = (
            _smoothstep((v - upper + 0.6) / 1.2)
            * _smoothstep((lower - 1.2 - v) / 1.2)
            * np.sqrt(width)
        )
        cavity = np.array([0.20, 0.075, 0.07]) * (0.75 + 0.25 * width[..., None])
        tongue = (
            _smoothstep((2.6 + 2.0 * opening + below) / 2.6)
            * width
            * np.clip(opening * 1.6 - 0.25, 0, 1)
        )
        colour = cavity + (np.array([0.56, 0.27, 0.26]) - cavity) * (0.75 * tongue[..., None])
        shade = 0.66 + 0.30 * _smoothstep(-above / 2.5)
        return colour + (photograph * shade[..., None] - colour) * teeth[..., None]
