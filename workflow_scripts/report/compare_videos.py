"""Finished videos of one setting → one video of all, side by side, labelled, with sound."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from wildtalker_core.errors import InputError
from wildtalker_core.media.image import resize_image
from wildtalker_core.media.video import probe, read_video
from wildtalker_core.media.video_writer import VideoWriter
from workflow_scripts.job import job

#: Columns after which a new row of pictures begins.
MAX_COLUMNS = 4
LABEL_SHARE = 0.11  # height of a label in widths of a picture


def main(
    video_paths: Sequence[str], labels: Sequence[str], comparison_path: str, column_px: int
) -> None:
    """Write the side-by-side video; it speaks with the first video's sound.

    Raises InputError if a video has fewer frames than the first.
    """
    facts = probe(video_paths[0])
    captions = [draw_label(label, column_px) for label in labels]
    readers = [read_video(path) for path in video_paths]
    sound_path = video_paths[0] if facts.audio_codec else None
    with VideoWriter(comparison_path, facts.fps, sound_path, crf=20) as video:
        for number, (first, _) in enumerate(readers[0]):
            frames = [first]
            for reader, path in zip(readers[1:], video_paths[1:], strict=True):
                frame = next(reader, None)
                if frame is None:
                    raise InputError(
                        path,
                        f"ends at frame {number}, before {video_paths[0]}",
                        "render it again",
                    )
                frames.append(frame[0])
            video.append(side_by_side([resize_image(f, column_px) for f in frames], captions))


def side_by_side(frames: Sequence[np.ndarray], captions: Sequence[np.ndarray]) -> np.ndarray:
    """Labelled frames in rows of at most four, white where a row is not full; even sides."""
    cells = [np.concatenate(pair) for pair in zip(captions, frames, strict=True)]
    n_columns = min(len(cells), MAX_COLUMNS)
    blank = np.full_like(cells[0], 255)
    cells += [blank] * (-len(cells) % n_columns)
    rows = [
        np.concatenate(cells[i : i + n_columns], axis=1) for i in range(0, len(cells), n_columns)
    ]
    return np.concatenate(rows)


def draw_label(text: str, width_px: int) -> np.ndarray:
    """Black on white, centred: [height, width, 3] uint8, even height."""
    height = 2 * max(8, round(LABEL_SHARE * width_px / 2))
    picture = Image.new("RGB", (width_px, height), "white")
    font = ImageFont.load_default(size=round(0.62 * height))
    ImageDraw.Draw(picture).text((width_px / 2, height / 2), text, "black", font, anchor="mm")
    return np.asarray(picture)


if __name__ == "__main__":
    with job(snakemake):
        main(
            list(snakemake.input.videos),
            list(snakemake.params.methods),
            snakemake.output.video,
            snakemake.params.options["figure_column_px"],
        )
