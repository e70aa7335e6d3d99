"""Where the files of a scene lie in a clip's results, and which inputs of a rule they are."""

from typing import Any

#: Named input of a rule -> its place in the folder of a clip; {speech} is ``speech.denoiser``.
_PLACES = {
    "scene": "scene/scene.npz",
    "audio_features": "speech/{speech}/audio_features.npz",
    "frames": "media/frames.zarr.zip",
    "hand_free": "motion/hand_free.zarr.zip",
    "parsing": "face/parsing.zarr.zip",
    "transient_mask": "motion/transient_mask.zarr.zip",
}


def scene_files(clip_folder: Any, speech: str) -> dict[str, str]:
    """Paths by named input.

    Args:
        clip_folder: ``results/{clip}``; wildcards in braces stay.
        speech: whose audio features, such as ``original.mss_adaptive``.
    """
    return {
        name: f"{clip_folder}/{place.replace('{speech}', speech)}"
        for name, place in _PLACES.items()
    }


def scene_paths(inputs: Any) -> dict[str, str]:
    """Arguments of ``load_scene`` from a rule's named inputs, or from :func:`scene_files`.

    The input ``frames`` is the argument ``frames_path``, and so on.
    """
    return {f"{name}_path": inputs[name] for name in _PLACES}
