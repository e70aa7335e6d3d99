"""Which weights files a config needs: as inputs of rules, so that they are seen before any job.

Some are used only where they can be had (``auto``): the rule ``try_weights`` fetches them and says
in a small file where they are, or why they are not. That file is the rules' input, whatever became
of it, and its reader states in the results what was used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wildtalker_core.errors import InputError
from wildtalker_core.media.files import load_json
from wildtalker_core.pretrained.audio_encoders import looks_like_path
from wildtalker_core.pretrained.weight_registry import REGISTRY

#: Where the rule fetch_weights puts them.
FOLDER = "weights"

ALEXNET, VGG = "alexnet_features.safetensors", "vgg16-397923af.pth"

#: Entry of the config that names a file or a folder -> whether the section uses it.
IS_USED: dict[tuple[str, str], Callable[[Mapping[str, Any]], bool]] = {
    ("speech", "whisper_model"): lambda options: options["audio_features"] == "whisper",
    ("speech", "hf_model"): lambda options: options["audio_features"] == "hf",
    ("speech", "deepspeech_model"): lambda options: options["audio_features"] == "deepspeech",
    ("speech", "deepfilternet_model"): lambda options: options["denoiser"] == "deepfilternet",
    ("pose", "face_landmarker_path"): lambda options: True,
    ("occlusion", "flow_weights_path"): lambda options: options["flow"] == "ptlflow",
    ("occlusion", "lama_weights_path"): lambda options: options["inpaint"] == "lama",
    ("train", "lpips_backbone"): lambda options: options["perceptual"] == "lpips",
    ("evaluate", "lpips_weights"): lambda options: options["lpips_weights"] != "auto",
    ("evaluate", "syncnet_weights"): lambda options: True,
    ("evaluate", "blendshape_model"): lambda options: True,
}


#: Checkpoints of ``speech.whisper_model`` that the registry has, by name.
WHISPER = {name: f"whisper_{name}_encoder.safetensors" for name in ("tiny.en", "tiny")}

#: Stage -> files of the registry that its section uses where they can be had.
IS_TRIED: dict[str, Callable[[Mapping[str, Any]], list[str]]] = {
    "speech": lambda options: (
        [WHISPER[options["whisper_model"]]]
        if options["audio_features"] == "auto" and options["whisper_model"] in WHISPER
        else []
    ),
    "train": lambda options: [ALEXNET] if options["perceptual"] == "auto" else [],
    "evaluate": lambda options: (
        [{"alex": ALEXNET, "vgg": VGG}[options["lpips_net"]]]
        if options["lpips_weights"] == "auto"
        else []
    ),
}


@dataclass(frozen=True)
class Tried:
    """What became of a file: its path, or None and the reason."""

    path: str | None
    reason: str


NOT_TRIED = Tried(None, "not asked for")


def read_tried(said_paths: Iterable[str]) -> Tried:
    """What ``try_weights`` has said in its file, of which there is one or none."""
    for path in said_paths:
        said = load_json(path)
        return Tried(said["path"], said["reason"])
    return NOT_TRIED


def was_given_later(file: str, said_path: str) -> bool:
    """Whether a file that was absent when ``try_weights`` ran is there now, or was so before.

    A parameter of that rule: it changes once, when the file comes, and so the rule runs again then
    and only then.
    """
    if not Path(said_path).is_file():
        return False
    said = load_json(said_path)
    return said["given_later"] if said["path"] else Path(FOLDER, file).is_file()


def weight_inputs(stage: str, options: Mapping[str, Any], *keys: str) -> list[str]:
    """Files that a stage's section names under ``keys`` and uses.

    A checkpoint of ``speech.hf_model`` is a folder: its files by the registry where it is one of
    ours, else its ``config.json``; a name on the model hub has no file to wait for.

    >>> weight_inputs("occlusion", {"flow": "dis", "flow_weights_path": "x"}, "flow_weights_path")
    []
    """
    files = []
    for key in keys:
        if not options[key] or not IS_USED[stage, key](options):
            continue
        if key == "hf_model":
            files += _checkpoint_files(options[key])
        elif key == "whisper_model":
            files.append(whisper_path(options[key]))
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

    >>> fetchable_for("occlusion.lama_weights_path")
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


def whisper_path(model: str) -> str:
    """The file or folder of ``speech.whisper_model``.

    >>> whisper_path("tiny.en")
    'weights/whisper_tiny.en_encoder.safetensors'
    """
    return f"{FOLDER}/{WHISPER[model]}" if model in WHISPER else model


def settle_audio_features(options: Mapping[str, Any], tried: Tried) -> tuple[dict, str]:
    """``auto`` becomes ``whisper`` where its weights are, else ``logmel``; and why, if so."""
    if options["audio_features"] != "auto":
        return dict(options), ""
    path = whisper_path(options["whisper_model"])
    if options["whisper_model"] not in WHISPER:
        tried = Tried(path, "") if Path(path).exists() else Tried(None, f"{path} does not exist")
    chosen = "logmel" if tried.path is None else "whisper"
    return {**options, "audio_features": chosen}, tried.reason


def _checkpoint_files(model: str) -> list[str]:
    folder = model.rstrip("/")
    ours = [f"{FOLDER}/{file}" for file in REGISTRY if f"{FOLDER}/{file}".startswith(f"{folder}/")]
    if ours:
        return ours
    return [f"{folder}/config.json"] if looks_like_path(model) else []
