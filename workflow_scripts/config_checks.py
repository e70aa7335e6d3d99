"""What entries of a config demand of each other, refused before anything starts."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from typing import Any

from wildtalker_core.errors import InputError

_NEEDS_GPU = ("triton", "tinycudann")


def check_together(view: Mapping[str, Any], where: str) -> None:
    """Raise InputError for the first demand that is not met.

    Args:
        view: all sections as one method sees them.
        where: what the sections are of, such as ``config methods.wildtalker``.
    """
    for problem in _problems(view):
        key, *rest = problem
        raise InputError(f"{where}: {key}", *rest)


def _problems(view: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """(key, problem, remedy) of each demand that is not met."""
    speech, occlusion, train = view["speech"], view["occlusion"], view["train"]
    if train["perceptual"] == "lpips" and not train["lpips_backbone"]:
        yield (
            "train.perceptual",
            "is lpips, but train.lpips_backbone names no file with its weights",
            "give the file, or use ms_ssim or none",
        )
    yield from _order_problems(view)
    yield from _patch_problems(train, int(view["media"]["size_px"]))
    yield from _device_problems(train)
    if occlusion["inpaint"] == "lama" and not (
        occlusion["lama_weights_path"] or os.environ.get("LAMA_MODEL")
    ):
        yield (
            "occlusion.inpaint",
            "is lama, but occlusion.lama_weights_path names no file with its weights",
            "give weights/big-lama.pt, which the run fetches, or use temporal",
        )
    if occlusion["flow"] == "ptlflow" and not occlusion["flow_weights_path"]:
        yield (
            "occlusion.flow",
            "is ptlflow, but occlusion.flow_weights_path names no file with its weights",
            "give the file, or use dis",
        )
    if speech["source"] != "original" and speech["source"] not in speech["corruptions"]:
        yield (
            f"speech.source: {speech['source']}",
            "is not under speech.corruptions",
            "add it there, or use original",
        )
    for choice, key, path in (
        ("audio_features", "hf", "hf_model"),
        ("audio_features", "deepspeech", "deepspeech_model"),
        ("denoiser", "external", "external_dir"),
    ):
        if speech[choice] == key and not speech[path]:
            yield f"speech.{choice}", f"is {key}, but speech.{path} is empty", f"give speech.{path}"


def _order_problems(view: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Entries of one section of which one bounds another."""
    for stage, lesser, greater in (
        ("media", "min_seconds", "max_seconds"),
        ("occlusion", "still_flow", "stirring_flow"),
    ):
        low, high = view[stage][lesser], view[stage][greater]
        if high is not None and low > high:
            problem = f"is above {stage}.{greater} ({high})"
            yield f"{stage}.{lesser}: {low}", problem, "make it smaller"
    order, window = (view["person"][f"smoothing_{name}"] for name in ("order", "window_frames"))
    if 1 < window <= order:
        problem = f"is not below person.smoothing_window_frames ({window})"
        yield (
            f"person.smoothing_order: {order}",
            problem,
            "make it smaller, or the window 1",
        )
    train = view["train"]
    for stage in ("head", "lips"):
        if train[stage]["uncertainty"] and not train["model"]["n_uncertainty"]:
            yield (
                f"train.{stage}.uncertainty",
                "is trained by no network (train.model.n_uncertainty: 0)",
                "give n_uncertainty a width such as 32, or uncertainty 0",
            )


def _patch_problems(train: Mapping[str, Any], size_px: int) -> Iterator[tuple[str, str, str]]:
    lips = train["lips"]
    sides = {"patch_size": train["perceptual"] != "none", "face_patch_size": lips["lambda_patches"]}
    for key, is_used in sides.items():
        if lips["steps"] and is_used and lips[key] > size_px:
            yield (
                f"train.lips.{key}: {lips[key]}",
                f"is larger than the frame (media.size_px: {size_px})",
                "make it smaller, or the frames larger",
            )


def _device_problems(train: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    device = train["device"]
    is_cpu = device in ("cpu", "mps") or (device == "auto" and shutil.which("nvidia-smi") is None)
    for key in ("encoder", "rasteriser"):
        chosen = train[key]
        if chosen in _NEEDS_GPU and is_cpu:
            yield (
                f"train.{key}: {chosen}",
                f"runs on an NVIDIA GPU only, train.device is {device}"
                + ("" if device in ("cpu", "mps") else " and none is here"),
                "use auto, or set train.device to cuda where the jobs run on another machine",
            )
        if chosen == "numba" and device in ("cuda", "mps"):
            problem = f"runs on a CPU only, train.device is {device}"
            yield f"train.{key}: numba", problem, "use auto"
