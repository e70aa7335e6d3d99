"""A sheet of six frames: parsing, flow, mask and hand-free frame below one another."""

import numpy as np

from wildtalker_core.media.frame_store import FrameStore
from wildtalker_core.media.image import write_image
from wildtalker_core.occlusion.overlay import colour_flow, colour_mask, colour_parsing, label_rows
from workflow_scripts.job import call, job

N_COLUMNS = 6
COLUMN_PX = 192


def main(
    frames_path: str,
    parsing_path: str,
    flow_magnitude_path: str,
    transient_mask_path: str,
    hand_free_path: str,
    overlay_path: str,
) -> None:
    """Of each sixth of the clip the frame with the most masked pixels is shown."""
    frames, parsing = FrameStore(frames_path), FrameStore(parsing_path)
    magnitudes, masks = FrameStore(flow_magnitude_path), FrameStore(transient_mask_path)
    hand_free = FrameStore(hand_free_path)
    masked = np.array([int(mask.sum(dtype=np.int64)) for mask in masks])
    numbers = [int(part[masked[part].argmax()]) for part in _sixths(len(frames))]
    rows = [
        (f"frames {', '.join(map(str, numbers))}", [frames[i] for i in numbers]),
        (
            "parsing: head orange, neck yellow, torso blue, hands red",
            [colour_parsing(frames[i], parsing[i]) for i in numbers],
        ),
        (
            "flow beyond rigid motion, white from 2 % of the height per frame",
            [colour_flow(magnitudes[i]) for i in numbers],
        ),
        ("transient mask", [colour_mask(frames[i], masks[i]) for i in numbers]),
        ("hand-free frames", [hand_free[i] for i in numbers]),
    ]
    write_image(overlay_path, label_rows(rows, COLUMN_PX))


def _sixths(n_frames: int) -> list[np.ndarray]:
    return [part for part in np.array_split(np.arange(n_frames), N_COLUMNS) if len(part)]


if __name__ == "__main__":
    with job(snakemake):
        call(main, snakemake)
