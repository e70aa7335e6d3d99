"""Which weights files a config needs: as inputs of rules, so that they are seen before any job."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from wildtalker_core.errors import InputError
from wildtalker_core.pretrained.weight_registry import REGISTRY

#: Where the rule fetch_weights puts them.
FOLDER = "weights"

#: Entry of the config that names a file or a folder -> whether the section uses it.
IS_USED: dict[tuple[str, str], Callable[[Mapping[str, Any]], bool]] = {
    ("speech", "hf_model"): lambda options: options["audio_features"] == "hf",
    ("speech", "deepspeech_model"): lambda options: options["audio_features"] == "deepspeech",
    ("face", "face_landmarker_path"): lambda options: True,
    ("motion", "flow_weights_path"): lambda options: options["flow"] == "ptlflow",
    ("motion", "lama_weights_path"): lambda options: options["inpaint"] == "lama",
    ("train", "lpips_backbone"): lambda options: options["perceptual"] == "lpips",
    ("evaluate", "lpips_weights"): lambda options: True,
    ("evaluate", "syncnet_weights"): lambda options: True,
    ("evaluate", "blendshape_model"): lambda options: True,
}


def weight_inputs(stage: str, options: Mapping[str, Any], *keys: str) -> list[str]:
    """Files that a stage's section names under ``keys`` and uses.

    A checkpoint of ``speech.hf_model`` is a folder: its files by the registry where it is one of
    ours, else its ``config.json``; a name on the model hub has no file to wait for.

    >>> weight_inputs("motion", {"flow": "dis", "flow_weights_path": "x.ckpt"}, "flow_weights_path")
    []
    """
    files = []
    for key in keys:
        if not options[key] or not IS_USED[stage, key](options):
            continue
        if key == "hf_model":
            files += _checkpoint_files(options[key])
        else:
            files.append(options[key])
    return files


def check_present(stage: str, options: Mapping[str, Any]) -> None:
    """Raise InputError for a file that is neither there nor in the registry's folder."""
    for known_stage, key in IS_USED:
        if known_stage != stage:
            continue
        for path in weight_inputs(stage, options, key):
            if not Path(path).exists() and not is_fetchable(path):
                ours = fetchable_for(f"{stage}.{key}")
                raise InputError(
                    path,
                    f"does not exist (config {stage}.{key})",
                    f"correct the path, or give {' or '.join(ours)}, which the run fetches"
                    if ours
                    else "correct the path",
                )


def fetchable_for(entry: str) -> list[str]:
    """What the registry has for an entry of the config (``stage.key``): files, or their folders.

    >>> fetchable_for("motion.lama_weights_path")
    ['weights/big-lama.pt']
    """
    found = [
        f"{FOLDER}/{file.split('/')[0]}"
        for file, weights in REGISTRY.items()
        # DeepSpeech has to be exported by hand first.
        if entry in weights.purpose and "after its export" not in weights.purpose
    ]
    return list(dict.fromkeys(found))


def is_fetchable(path: str) -> bool:
    """Whether the rule fetch_weights makes this file."""
    return path.removeprefix(f"{FOLDER}/") in REGISTRY and path.startswith(f"{FOLDER}/")


def _checkpoint_files(model: str) -> list[str]:
    folder = model.rstrip("/")
    ours = [f"{FOLDER}/{file}" for file in REGISTRY if f"{FOLDER}/{file}".startswith(f"{folder}/")]
    if ours:
        return ours
    # As transformers: an existing folder, else owner/name on the hub.
    is_path = Path(model).exists() or model.startswith((".", "/", "~")) or model.count("/") > 1
    return [f"{folder}/config.json"] if is_path else []
