"""Where the files of a scene lie in a clip's results, and which inputs of a rule they are."""

from typing import Any

import numpy as np

#: Named input of a rule -> its place in the folder of a clip; {speech} is ``speech.denoiser``.
_PLACES = {
    "scene": "scene/scene.npz",
    "audio_features": "speech/{speech}/audio_features.npz",
    "frames": "media/frames.zarr.zip",
    "hand_free": "{occlusion}/hand_free.zarr.zip",
    "parsing": "person/parsing.zarr.zip",
    "transient_mask": "{occlusion}/transient_mask.zarr.zip",
}


def scene_files(clip_folder: Any, speech: str, occlusion: str = "occlusion") -> dict[str, str]:
    """Paths by named input.

    Args:
        clip_folder: ``results/{clip}``; wildcards in braces stay.
        speech: whose audio features, such as ``original.mss_adaptive``.
        occlusion: folder of masks and hand-free frames, the shared one or a method's own.
    """
    return {
        name: f"{clip_folder}/{place.format(speech=speech, occlusion=occlusion)}"
        for name, place in _PLACES.items()
    }


def scene_paths(inputs: Any) -> dict[str, str]:
    """Arguments of ``load_scene`` from a rule's named inputs, or from :func:`scene_files`.

    The input ``frames`` is the argument ``frames_path``, and so on.
    """
    return {f"{name}_path": inputs[name] for name in _PLACES}


def left_out(is_counted: np.ndarray, frames: np.ndarray) -> int:
    """How many frames among and right beside ``frames`` (ascending) do not show the person.

    Args:
        is_counted: [n] bool of the whole clip.
    """
    first, last = int(frames[0]), int(frames[-1])
    while first > 0 and not is_counted[first - 1]:
        first -= 1
    while last + 1 < len(is_counted) and not is_counted[last + 1]:
        last += 1
    return int((~is_counted[first : last + 1]).sum())
