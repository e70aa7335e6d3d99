"""A picture aligned to a mean picture by its own slopes: similarity and soft motion at once.

Plain cloth shows its motion only across its outline. Dense flow must guess the rest, and a
similarity that is fitted to guesses wanders by pixels. Here every pixel tells its motion along its
slope and no more, and a few numbers must explain them all (Lucas and Kanade 1981; Baker and
Matthews 2004; linear soft motion as in active appearance models, Cootes et al. 2001).
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from wildtalker_core.occlusion.registration import (
    N_SIMILARITY,
    similarity_matrix,
    similarity_of,
)

#: Blur of pictures from coarse to fine, pixels at 256. ASSUME a torso moves by less than twice the
#: coarsest from a frame to the next.
_BLURS = (6.0, 3.0, 1.2)
_STEPS = 8  # on each blur
_LEAST_SLOPE = 1.0  # grey levels per pixel: below it a pixel tells nothing
_LEAST_PIXELS = 50
_MOST_PIXELS = 4000  # more tell the same
#: Errors of pixels beside each other are alike. ASSUME one independent error in so many.
_ALIKE = 10.0
#: Least spread of the errors, grey levels: noise of the camera.
_LEAST_NOISE = 2.0
#: Steps smaller than this end a search: pixels, radians, logarithm, soft motion in its own unit.
_CONVERGED = (0.02, 0.02, 2e-4, 2e-4, 0.05)


@dataclass(frozen=True)
class SoftBasis:
    """Motion beyond a similarity, linear in k numbers.

    Attributes:
        grid: [k, g, g, 2] pixels, on a regular grid over ``box``.
        box: [4] x0, y0, x1, y1 pixels.
        stiffness: [k, k] inverse of what the numbers' covariance is believed to be.
    """

    grid: np.ndarray
    box: np.ndarray
    stiffness: np.ndarray

    def at(self, height: int, width: int, soft: np.ndarray) -> np.ndarray:
        """Motion [height, width, 2] float32 by numbers [k]; beyond the box as at its edge."""
        return _enlarged(np.tensordot(soft, self.grid, 1), self._places(height, width))

    def fields(self, height: int, width: int) -> np.ndarray:
        """Motion by each number, [height, width, 2, k] float32."""
        places = self._places(height, width)
        fields = [_enlarged(component, places) for component in self.grid]
        return np.stack(fields, -1) if fields else np.zeros((height, width, 2, 0), np.float32)

    def _places(self, height: int, width: int) -> np.ndarray:
        """Where pixels lie on the grid, [2, height, width]."""
        last = np.maximum(self.box[2:] - self.box[:2], 1)
        x, y = (
            (np.arange(count) - self.box[axis]) / last[axis] * (self.grid.shape[1] - 1)
            for axis, count in enumerate((width, height))
        )
        return np.stack(np.meshgrid(x, y)).astype(np.float32)


def _enlarged(grid: np.ndarray, places: np.ndarray) -> np.ndarray:
    """A grid [g, g, 2] interpolated at ``places`` [2, height, width]."""
    return cv2.remap(
        grid.astype(np.float32), places[0], places[1], cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )  # fmt: skip


def elastic(box: np.ndarray, size: int, neighbours_px: float, nodes_px: float) -> SoftBasis:
    """Every node of a grid moves for itself, held by its neighbours and by its place.

    Args:
        box: [4] pixels; size: nodes a side.
        neighbours_px: how far two neighbours are believed to move apart; nodes_px: how far a node
            is believed to move.
    """
    n = size * size
    apart = np.eye(size)[1:] - np.eye(size)[:-1]
    across = np.kron(np.eye(size), apart), np.kron(apart, np.eye(size))
    one = sum(d.T @ d for d in across) / neighbours_px**2 + np.eye(n) / nodes_px**2
    grid = np.zeros((n, 2, size, size, 2))
    for axis in (0, 1):
        grid[:, axis, :, :, axis] = np.eye(n).reshape(n, size, size)
    return SoftBasis(grid.reshape(2 * n, size, size, 2), box, np.kron(one, np.eye(2)))


class Aligner:
    """Aligns pictures to a fixed one."""

    def __init__(
        self,
        picture: np.ndarray,
        is_known: np.ndarray,
        centre: np.ndarray,
        basis: SoftBasis | None = None,
    ) -> None:
        """
        Args:
            picture: [h, w] float32 grey levels; is_known: [h, w] bool.
            centre: [2] pixels, of similarities; basis: None for a similarity alone.
        """
        height, width = picture.shape
        self.picture, self.is_known, self.centre, self.basis = picture, is_known, centre, basis
        none = np.zeros((height, width, 2, 0), np.float32)
        self.fields = none if basis is None else basis.fields(height, width)
        self.columns, self.rows = np.meshgrid(
            np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)
        )
        self.levels = []
        for blur in _BLURS:
            blurred = self._blurred(picture, blur)
            self.levels.append((blur, blurred, slopes(blurred)))

    def warped(
        self, motion: np.ndarray, soft: np.ndarray, *pictures: np.ndarray
    ) -> list[np.ndarray]:
        """Pictures [h, w] as the fixed one would see them; zeros beyond their edges."""
        a = similarity_matrix(motion, self.centre)
        if self.basis is None:
            how, size = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, self.picture.shape[::-1]
            return [cv2.warpAffine(picture, a[:2], size, flags=how) for picture in pictures]
        height, width = self.picture.shape
        moved = self.basis.at(height, width, soft)
        x, y = self.columns + moved[..., 0], self.rows + moved[..., 1]
        to_x, to_y = ((a[i, 0] * x + a[i, 1] * y + a[i, 2]).astype(np.float32) for i in (0, 1))
        return [cv2.remap(picture, to_x, to_y, cv2.INTER_LINEAR) for picture in pictures]

    def error(
        self, picture: np.ndarray, is_clear: np.ndarray, motion: np.ndarray, soft: np.ndarray
    ) -> float:
        """Mean absolute difference in grey levels, at the coarsest blur."""
        blur, fixed, _ = self.levels[0]
        blurred = self._blurred(picture, blur)
        seen, shows = self.warped(motion, soft, blurred, is_clear.astype(np.float32))
        shows = shows * self.is_known
        return float((np.abs(seen - fixed) * shows).sum() / max(shows.sum(), 1.0))

    def _blurred(self, picture: np.ndarray, blur: float) -> np.ndarray:
        return cv2.GaussianBlur(picture, (0, 0), max(0.8, blur * min(1, len(picture) / 256)))

    def fit(
        self, picture: np.ndarray, is_clear: np.ndarray, motion: np.ndarray, soft: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray] | None:
        """Better numbers than ``motion`` [4] and ``soft`` [k]; None where too little can be seen.

        Args:
            picture: [h, w] float32; is_clear: [h, w] bool, where it may be compared.
        """
        clear = is_clear.astype(np.float32)
        for blur, fixed, fixed_slopes in self.levels:
            blurred = self._blurred(picture, blur)
            for _ in range(_STEPS):
                seen, shows = self.warped(motion, soft, blurred, clear)
                # Of both: fewer steps are needed.
                x, y = ((a + b) / 2 for a, b in zip(fixed_slopes, slopes(seen), strict=True))
                told = (shows > 0.9) & self.is_known & (np.abs(x) + np.abs(y) > _LEAST_SLOPE)
                told = np.flatnonzero(told)
                if len(told) < _LEAST_PIXELS:
                    return None
                told = told[:: -(-len(told) // _MOST_PIXELS)]
                slope = np.stack((x.ravel()[told], y.ravel()[told]), 1)
                step = self._step((fixed - seen).ravel()[told], slope, told, soft)
                nearer = similarity_matrix(step[:N_SIMILARITY], self.centre)
                matrix = similarity_matrix(motion, self.centre) @ nearer
                motion, soft = similarity_of(matrix, self.centre), soft + step[N_SIMILARITY:]
                if (np.abs(step) < np.array(_CONVERGED)[np.minimum(np.arange(len(step)), 4)]).all():
                    break
        return motion, soft

    def beyond_similarity(self, moved: np.ndarray) -> np.ndarray:
        """Numbers [n, k] of an elastic basis without the similarity that shows most of each.

        What is left is nothing that a similarity could do as well as far as the fixed picture shows
        it: else both would tell the same motion, and against each other.
        """
        assert self.basis is not None
        told = np.flatnonzero(self.is_known & (np.abs(self.levels[-1][2]).sum(0) > _LEAST_SLOPE))
        slope = np.stack([part.ravel()[told] for part in self.levels[-1][2]], 1)
        rigid, soft = np.split(self._slopes_of(slope, told), [N_SIMILARITY], axis=1)
        like, *_ = np.linalg.lstsq(rigid, soft @ moved.T, rcond=None)
        size = self.basis.grid.shape[1]
        x, y = np.meshgrid(
            *(np.linspace(self.basis.box[i], self.basis.box[i + 2], size) for i in (0, 1))
        )
        x, y = x - self.centre[0], y - self.centre[1]
        one, none = np.ones_like(x), np.zeros_like(x)
        fields = np.stack(
            [np.stack(field, -1) for field in ((one, none), (none, one), (-y, x), (x, y))]
        )
        return moved - like.T @ fields.reshape(N_SIMILARITY, -1)

    def _slopes_of(self, slope: np.ndarray, told: np.ndarray) -> np.ndarray:
        """Grey levels per unit of each number, [n, 4 + k], at pixels ``told`` of slopes [n, 2]."""
        place = np.divmod(told, self.picture.shape[1])
        x, y = self.columns[place] - self.centre[0], self.rows[place] - self.centre[1]
        a, b = slope.T
        rigid = np.stack((a, b, b * x - a * y, a * x + b * y), 1)
        soft = np.einsum("nd,ndk->nk", slope, self.fields[place])
        return np.concatenate((rigid, soft), 1).astype(np.float64)

    def _step(
        self, error: np.ndarray, slope: np.ndarray, told: np.ndarray, soft: np.ndarray
    ) -> np.ndarray:
        """Least squares over pixels ``told``, robust against what does not move along."""
        slopes_of = self._slopes_of(slope, told)
        noise = max(_LEAST_NOISE, 1.48 * float(np.median(np.abs(error))))
        weighted = slopes_of / (1 + np.square(error / (2 * noise)))[:, None]
        normal, target = weighted.T @ slopes_of, weighted.T @ error.astype(np.float64)
        if self.basis is not None:
            held = _ALIKE * noise**2 * self.basis.stiffness
            normal[N_SIMILARITY:, N_SIMILARITY:] += held
            target[N_SIMILARITY:] -= held @ soft
        # A little damped: nothing may tell a number.
        damping = 1e-3 * np.diag(normal) + 1e-9
        return np.linalg.solve(normal + np.diag(damping), target)


def slopes(picture: np.ndarray) -> list[np.ndarray]:
    """[h, w] -> grey levels per pixel along x and along y, [h, w] each."""
    return [cv2.Sobel(picture, cv2.CV_32F, *d, ksize=3) / 8 for d in ((1, 0), (0, 1))]
