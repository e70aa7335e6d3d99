"""What the head should look like: pixels of a batch, and the cells that the head can fill."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Int64, Real
from torch import Tensor

from wildtalker_core.devices import sent
from wildtalker_core.geometry.cameras import project
from wildtalker_core.geometry.rotations import transform_points
from wildtalker_core.nerf.portrait import Portrait
from wildtalker_core.training.clip import HANDS, HEAD, Clip, in_memory


class HeadTargets:
    """What the head should look like: colours and weights of pixels, frame by frame.

    Attributes:
        boxes: [frames, 4] pixels x0, y0, x1, y1 around the head's mask, with a margin.
    """

    # ASSUME a tenth of the head's size around it: enough emptiness to learn where the head ends.
    _MARGIN = 0.1

    def __init__(self, clip: Clip) -> None:
        self.clip = clip
        self.frames, self.parsing = in_memory(clip.scene.frames, clip.scene.parsing)
        self.boxes = np.stack([self._box(i) for i in range(clip.scene.n_frames)])

    def _box(self, frame: int) -> np.ndarray:
        height, width = self.clip.scene.height, self.clip.scene.width
        mask = self.parsing[frame][..., HEAD] > 25
        rows, columns = mask.any(1).nonzero()[0], mask.any(0).nonzero()[0]
        if not len(rows):
            x0, y0, x1, y1 = self.clip.scene.face_box[frame]
        else:
            x0, y0, x1, y1 = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
        margin = self._MARGIN * max(x1 - x0, y1 - y0)
        return np.round([
            max(x0 - margin, 0), max(y0 - margin, 0),
            min(x1 + margin, width), min(y1 + margin, height),
        ]).astype(np.int64)  # fmt: skip

    def of(
        self, frames: Int[np.ndarray, "k"], pixels: Int[np.ndarray, "k 2"]
    ) -> tuple[Float[Tensor, "k 3"], Float[Tensor, "k"], Float[Tensor, "k"]]:
        """Colours, head membership and loss weight of pixels, each of its own frame.

        ASSUME a pixel counts as much as it is not a hand: where a hand crosses the face there is
        nothing to learn about the face, nor about a mouth that is hidden. The transient mask is not
        used here, since the talking mouth itself may be called transient.
        """
        colours = np.empty((len(pixels), 3), np.uint8)
        parsing = np.empty((len(pixels), self.parsing.shape[-1]), np.uint8)
        is_unknown = np.zeros(len(pixels), bool)
        for frame in np.unique(frames):
            here = frames == frame
            x, y = pixels[here].T
            colours[here] = self.frames[int(frame)][y, x]
            parsing[here] = self.parsing[int(frame)][y, x]
            rows, columns = self.clip.scene.hidden_mouth(int(frame))
            is_unknown[here] = (
                (rows.start <= y) & (y < rows.stop) & (columns.start <= x) & (x < columns.stop)
            )
        unit = self.clip.unit
        weight = (1 - unit(parsing[:, HANDS])) * ~sent(is_unknown, self.clip.device)
        return unit(colours), unit(parsing[:, HEAD]), weight


def random_pixels(
    boxes: Real[np.ndarray, "k 4"], per_box: int, generator: torch.Generator
) -> Int64[np.ndarray, "k*{per_box} 2"]:
    """``per_box`` uniform pixels (x, y) in each of the boxes."""
    uniform = torch.rand(len(boxes), per_box, 2, generator=generator).numpy()
    lower, upper = boxes[:, None, :2], boxes[:, None, 2:]
    return (
        (lower + np.minimum(uniform * (upper - lower), upper - lower - 1))
        .astype(np.int64)
        .reshape(-1, 2)
    )


@dataclass(frozen=True)
class Batch:
    """Pixels of one step.

    Attributes:
        chosen: frames.
        row: index into them.
        patch_size: side of the square patches that the pixels are, one after the other, each in
            reading order; 0 if they are scattered.
    """

    chosen: Int[np.ndarray, "frames"]
    row: Int[np.ndarray, "k"]
    pixels: Int[np.ndarray, "k 2"]
    patch_size: int = 0

    def arrays(self) -> dict[str, np.ndarray]:
        """For :class:`optimise.Step`: the frames, and each ray's pixel with its frame."""
        return {
            "frames": self.chosen,
            "pixels": self.pixels,
            "frame_of_pixel": self.chosen[self.row],
        }


def possible_cells(
    portrait: Portrait, targets: HeadTargets, train_frames: Int[np.ndarray, "n"]
) -> Bool[Tensor, "r r r"]:
    """Cells of the occupancy grid that some head could fill: the visual hull.

    ASSUME a cell is impossible if it is seen outside the head (mask dilated by 3 % of the height)
    in more than a tenth of 32 frames; the tenth forgives bad poses and masks.
    """
    scene, grid = targets.clip.scene, portrait.occupancy
    device = targets.clip.device
    r = grid.resolution
    centres = grid.cell_centres(torch.arange(r**3, device=device))
    chosen = train_frames[np.linspace(0, len(train_frames) - 1, 32).round().astype(int)]
    kernel = np.ones((2 * round(0.03 * scene.height) + 1,) * 2, np.uint8)
    n_outside = torch.zeros(r**3, device=device)
    for frame in chosen:
        parsing = targets.parsing[int(frame)]
        possible = (parsing[..., HEAD] > 25) | (parsing[..., HANDS] > 25)
        mask = torch.as_tensor(cv2.dilate(possible.astype(np.uint8), kernel), device=device).bool()
        seen = transform_points(targets.clip.T_camera_head[int(frame)], centres)
        xy = project(seen, scene.focal_length, scene.height, scene.width).long()
        size = xy.new_tensor((scene.width, scene.height))
        is_in_image = ((xy >= 0) & (xy < size)).all(-1)
        x, y = torch.where(is_in_image[:, None], xy, 0).unbind(-1)
        n_outside += is_in_image & ~mask[y, x]
    return (n_outside <= 0.1 * len(chosen)).view(r, r, r)
