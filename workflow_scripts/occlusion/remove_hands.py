"""Frames → the same frames with what lies behind hands and other transients."""

from collections.abc import Callable
from functools import lru_cache

import numpy as np

from wildtalker_core.media.frame_store import FrameStore, write_frames
from wildtalker_core.media.splits import load_split
from wildtalker_core.occlusion.hand_removal import (
    View,
    fill_telea,
    fill_temporal,
    hidden_region,
)
from wildtalker_core.occlusion.options import RemovalOptions
from wildtalker_core.occlusion.source_frames import Plan, coarse_hidden
from wildtalker_core.progress import progress
from workflow_scripts.job import call, job

#: (frame [height, width, 3] uint8, is_hidden [height, width] bool) → filled frame.
Filler = Callable[[np.ndarray, np.ndarray], np.ndarray]

# Views kept for the next frames, which mostly ask for the same sources.
_N_CACHED = 64


def main(
    frames_path: str,
    parsing_path: str,
    transient_mask_path: str,
    split_path: str,
    hand_free_path: str,
    options: RemovalOptions,
    filler: Filler | None = None,
) -> None:
    """Fill each frame; pixels outside its hidden region stay exactly as they are.

    Args:
        filler: fills one frame by itself; None fills from other frames (``temporal``).

    Training frames are filled from training frames; the others also from those before their part's
    end. Frames that do not show the person fill none and are left as they are.

    Says in the log how many hidden pixels no frame shows. A bounded number of frames is in memory.
    """
    frames, parsing = FrameStore(frames_path), FrameStore(parsing_path)
    masks, split = FrameStore(transient_mask_path), load_split(split_path)
    n_frames = len(frames)

    def hidden(number: int) -> np.ndarray:
        if not split.is_counted[number]:
            return np.zeros(frames.shape[1:3], bool)
        return hidden_region(
            masks[number], parsing[number], options.mask_level, options.hidden_margin
        )

    @lru_cache(_N_CACHED)
    def view(number: int) -> View:
        return View(frames[number], parsing[number], hidden(number))

    if filler is None:
        coarse = np.stack(
            [
                coarse_hidden(hidden(number))
                for number in progress(range(n_frames), "finding hands", n_frames)
            ]
        )
        coarse[~split.is_counted] = True  # they are no sources
        plans = {stop: Plan(coarse[:stop]) for _, stop in split.spans}
    n_hidden = n_unseen = 0
    with write_frames(hand_free_path, n_frames, frames.shape[1:]) as writer:
        for number in progress(range(n_frames), "removing hands", n_frames):
            if filler is None:
                plan = plans[min(stop for stop in split.ends if number < stop)]
                sources = plan.sources(number, options.max_sources)
                filled, never_seen = fill_temporal(view(number), map(view, sources))
                n_unseen += int(never_seen.sum())
            else:
                filled = filler(frames[number], view(number).is_hidden)
            n_hidden += int(view(number).is_hidden.sum())
            writer.append(filled)
    total = n_frames * frames.shape[1] * frames.shape[2]
    print(f"hidden: {n_hidden} pixels, {100 * n_hidden / total:.2f} % of the clip")
    if filler is None:
        share = 100 * n_unseen / max(n_hidden, 1)
        print(f"seen in no frame, filled by telea: {n_unseen} pixels, {share:.2f} % of the hidden")


def make_filler(options: RemovalOptions, height: int) -> Filler | None:
    """The filler that the config section ``occlusion`` names; None for ``temporal``."""
    if options.inpaint == "temporal":
        return None
    if options.inpaint == "telea":
        return lambda frame, is_hidden: fill_telea(frame, is_hidden, 0.01 * height)
    from wildtalker_core.pretrained.inpainting import Lama

    return Lama(options.lama_weights_path, options.device)


if __name__ == "__main__":
    with job(snakemake):
        options = RemovalOptions(**snakemake.params.options)
        filler = make_filler(options, FrameStore(snakemake.input.frames).shape[1])
        call(main, snakemake, options=options, filler=filler)
