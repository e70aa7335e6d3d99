"""Frames and landmarks -> soft parsing of every frame and a background without the person."""

from collections.abc import Iterator
from itertools import chain, islice

import numpy as np

from wildtalker_core.media.files import load_arrays
from wildtalker_core.media.frame_store import FrameStore, write_frames
from wildtalker_core.media.image import write_image
from wildtalker_core.media.splits import load_split
from wildtalker_core.person import parsing
from wildtalker_core.person.background import background_plate
from wildtalker_core.person.colours import fit_colours, lasting_skin
from wildtalker_core.person.hands import complete_hands
from wildtalker_core.person.options import HandOptions
from wildtalker_core.pretrained.mediapipe_models import BodyPose, Hands, SelfieSegmentation
from wildtalker_core.progress import progress
from workflow_scripts.job import call, job

#: Frames that teach the colours, and frames that the background is taken from.
N_COLOUR_FRAMES, N_PLATE_FRAMES = 40, 100


def main(
    frames_path: str,
    landmarks_path: str,
    split_path: str,
    parsing_path: str,
    background_path: str,
    options: HandOptions,
) -> None:
    """Write ``parsing.zarr.zip`` and ``background.png``.

    Colours and background are learnt from training frames.
    """
    frames, split = FrameStore(frames_path), load_split(split_path)
    landmarks = load_arrays(landmarks_path, "landmarks")["landmarks"]
    detected, bodies = [], []
    with Hands() as find_hands, BodyPose() as find_body:
        for frame in progress(frames, "hands", len(frames)):
            detected.append(find_hands(frame)[..., :2])
            # The body is only asked for the elbows of hands in view.
            bodies.append(find_body(frame) if len(detected[-1]) else None)
    hands = []
    for start, stop in split.spans:
        known = complete_hands(
            detected[:stop], options.max_hand_gap_frames, options.min_hand_frames
        )
        hands += known[start:]

    with SelfieSegmentation() as find_person:
        few = _spread(split.frames("train"), N_COLOUR_FRAMES)
        examples = list(frames[few])
        people = [find_person(frame) for frame in examples]
        colours = fit_colours(examples, people, landmarks[few], [hands[i] for i in few])
        is_lasting_skin = lasting_skin(examples, people, colours)

        numbers = iter(progress(range(len(frames)), "parsing", len(frames)))

        def memberships(n_frames: int) -> Iterator[np.ndarray]:
            for i in islice(numbers, n_frames):
                frame = frames[i]
                yield parsing.parse_frame(
                    frame,
                    find_person(frame),
                    landmarks[i],
                    hands[i],
                    bodies[i],
                    colours,
                    is_lasting_skin,
                )

        steady = chain.from_iterable(
            parsing.steady(memberships(stop - start)) for start, stop in split.spans
        )
        plate_frames = set(_spread(split.frames("train"), N_PLATE_FRAMES))
        backgrounds = []
        with write_frames(parsing_path, len(frames), (*frames.shape[1:3], 5)) as writer:
            for i, frame in enumerate(steady):
                writer.append(parsing.quantise(frame))
                if i in plate_frames:
                    # A copy: a view would keep all five classes in memory.
                    backgrounds.append(frame[..., parsing.BACKGROUND].astype(np.float16))
    margin_px = max(2, round(frames.shape[1] / 64))
    plate = background_plate(list(frames[sorted(plate_frames)]), backgrounds, margin_px)
    write_image(background_path, plate)


def _spread(frames: np.ndarray, n_wanted: int) -> list[int]:
    """At most ``n_wanted`` of the frame numbers, evenly spread."""
    n_frames = len(frames)
    at = np.linspace(0, n_frames - 1, min(n_wanted, n_frames)).astype(int)
    return frames[np.unique(at)].tolist()


if __name__ == "__main__":
    with job(snakemake):
        call(main, snakemake, options=HandOptions(**snakemake.params.options))
