"""Figure 3: the same test frames by every method, the mouth enlarged."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import Rectangle

from wildtalker_core.media.files import load_arrays, load_json
from wildtalker_core.media.image import resize_image
from wildtalker_core.media.video import read_video
from wildtalker_core.person.landmarks import LOWER_LIP_INNER, UPPER_LIP_INNER
from workflow_scripts.figures import save_figure
from workflow_scripts.job import job
from workflow_scripts.reference import read_reference

BOX_COLOURS = ("#e4572e", "#17a398", "#4c6ef5", "#c2255c", "#7048e8", "#e8a317")
ZOOM_SCALE = 1.6  # side of the enlarged square in widths of the lip box


@dataclass(frozen=True)
class ClipPictures:
    """One clip's part of the figure.

    columns: (label, [frames, height, width, 3]) reference first. boxes: [frames, 3] x0, y0, side
    of the enlarged squares. numbers: the frames' numbers in the clip.
    """

    clip: str
    columns: list[tuple[str, np.ndarray]]
    boxes: np.ndarray
    numbers: list[int]


def main(clips: Sequence[ClipPictures], figure_path: str, column_px: int) -> None:
    """Draw all clips below one another."""
    figure = draw_comparison(clips, column_px)
    save_figure(figure, figure_path, _DPI)


_DPI = 150


def draw_comparison(clips: Sequence[ClipPictures], column_px: int) -> plt.Figure:
    """A figure: for each clip and frame a row of whole pictures and one of enlarged mouths."""
    n_columns = max(len(clip.columns) for clip in clips)
    cell = column_px / _DPI
    label_width, head_height, gap = 0.75, 0.32, 0.04
    n_rows = sum(2 * len(clip.numbers) for clip in clips)
    width = label_width + n_columns * (cell + gap)
    height = len(clips) * head_height + n_rows * (cell + gap)
    figure = plt.figure(figsize=(width, height))
    y = height

    def axes_at(left: float, bottom: float) -> plt.Axes:
        axes = figure.add_axes(
            (left / width, bottom / height, cell / width, cell / height), xticks=[], yticks=[]
        )
        return axes

    for clip in clips:
        y -= head_height
        for j, (label, _) in enumerate(clip.columns):
            middle = label_width + j * (cell + gap) + cell / 2
            figure.text(
                middle / width, (y + 0.08) / height, label, ha="center", va="bottom", fontsize=9
            )
        for row, number in enumerate(clip.numbers):
            colour = BOX_COLOURS[row % len(BOX_COLOURS)]
            x0, y0, side = clip.boxes[row]
            for is_zoomed in (False, True):
                y -= cell + gap
                text = f"{clip.clip}\nframe {number}" if not is_zoomed else "mouth"
                figure.text(
                    (label_width - 0.08) / width, (y + cell / 2) / height, text,
                    ha="right", va="center", fontsize=7.5, color="#333333",
                )  # fmt: skip
                for j, (_, frames) in enumerate(clip.columns):
                    axes = axes_at(label_width + j * (cell + gap), y)
                    axes.imshow(
                        frames[row],
                        extent=(0, frames.shape[2], frames.shape[1], 0),
                        interpolation="bicubic" if is_zoomed else "antialiased",
                    )
                    if is_zoomed:
                        axes.set_xlim(x0, x0 + side)
                        axes.set_ylim(y0 + side, y0)
                    else:
                        axes.add_patch(
                            Rectangle((x0, y0), side, side, fill=False, ec=colour, lw=1.2)
                        )
                    for spine in axes.spines.values():
                        spine.set_visible(is_zoomed)
                        spine.set_color(colour)
                        spine.set_linewidth(2)
    return figure


def choose_frames(openings: np.ndarray, n_frames: int) -> np.ndarray:
    """Positions in the test split from the widest open mouth to the closed one, evenly by rank."""
    order = np.argsort(-openings, kind="stable")
    places = np.linspace(0, len(order) - 1, min(n_frames, len(order)))
    return order[np.round(places).astype(int)]


def zoom_boxes(lip_boxes: np.ndarray, size_px: int) -> np.ndarray:
    """Squares around the lips, [frames, 3] x0, y0, side, inside the picture."""
    centre = 0.5 * (lip_boxes[:, :2] + lip_boxes[:, 2:])
    side = np.minimum(ZOOM_SCALE * (lip_boxes[:, 2:] - lip_boxes[:, :2]).max(axis=1), size_px)
    corner = np.clip(centre - side[:, None] / 2, 0, (size_px - side)[:, None])
    return np.concatenate([corner, side[:, None]], axis=1)


def read_clip(
    clip: str,
    manifest: dict[str, Any],
    scene: dict[str, np.ndarray],
    reference_path: str,
    videos: Sequence[tuple[str, str]],
    frames: np.ndarray,
    n_frames: int,
) -> ClipPictures:
    """Read what the figure shows of one clip.

    Args:
        videos: (method, path of its self-driven video).
        frames: numbers of the test frames, in the videos' order.
    """
    size_px = int(manifest["size_px"])
    points = scene["landmarks"][frames]
    openings = np.linalg.norm(points[:, UPPER_LIP_INNER] - points[:, LOWER_LIP_INNER], axis=1)
    chosen = choose_frames(openings, n_frames)
    in_order = np.sort(frames[chosen])
    reference = dict(zip(in_order, read_reference(reference_path, manifest, in_order), strict=True))
    columns = [("reference", np.stack([reference[i] for i in frames[chosen]]))]
    for method, path in videos:
        wanted = set(chosen.tolist())
        found = {
            i: resize_image(frame, size_px)
            for i, (frame, _) in enumerate(read_video(path))
            if i in wanted
        }
        columns.append((method, np.stack([found[int(i)] for i in chosen])))
    boxes = zoom_boxes(scene["lip_box"][frames[chosen]].astype(float), size_px)
    return ClipPictures(clip, columns, boxes, frames[chosen].tolist())


if __name__ == "__main__":
    with job(snakemake):
        n_clips, n_methods = len(snakemake.params.clips), len(snakemake.params.methods)
        pictures = []
        for c, clip in enumerate(snakemake.params.clips):
            own = slice(c * n_methods, (c + 1) * n_methods)
            pictures.append(
                read_clip(
                    clip,
                    load_json(snakemake.input.manifests[c]),
                    load_arrays(snakemake.input.scenes[c], "landmarks", "lip_box"),
                    snakemake.input.references[c],
                    list(zip(snakemake.params.methods, snakemake.input.videos[own], strict=True)),
                    np.asarray(load_json(snakemake.input.renders[own][0])["frames"], int),
                    snakemake.params.options["n_figure_frames"],
                )
            )
        main(pictures, snakemake.output.figure, snakemake.params.options["figure_column_px"])
