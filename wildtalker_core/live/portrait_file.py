"""``me.portrait``: everything that a portrait needs to talk, in one file of a few megabytes."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from wildtalker_core.errors import InputError
from wildtalker_core.geometry.moment import Moment
from wildtalker_core.media.tensor_file import load_tensors, save_tensors
from wildtalker_core.mouth.blinks import BlinkManner
from wildtalker_core.mouth.ear import Ear
from wildtalker_core.mouth.options import SpeakingOptions
from wildtalker_core.option_types import options_of
from wildtalker_core.speech.whisper_encoder import WhisperEncoder
from wildtalker_core.splats.portrait import SplatPortrait, SplatShape

#: Raised when a file of the new form cannot be read by older code.
VERSION = 3
_BASES = tuple(
    f"body.{part}.{kind}" for part in ("face", "soft") for kind in ("means", "colours", "opacities")
)
#: Stored in 8 bits, in units of each column's largest: ears' memories, what conditions add, and the
#: large tensors of a speech encoder.
_IN_BYTES = ("ear.known", "live_ear.known", *_BASES)
_ENCODER = "encoder."
_FEATURES = ("logmel", "whisper")
#: Below so many numbers a tensor is kept as it is.
_SMALL = 4096


@dataclass(frozen=True)
class Kept:
    """What a file holds.

    Attributes:
        portrait: the renderer with its ear for whole recordings.
        live_ear: the ear that looks ahead no further than ``live_ear.ahead`` frames.
        loop: known moments one after the other [k, ...]; their mouths are not used.
        blinks: how the person blinks.
        fps: of loop and blinks.
        hearing: ``audio_features``, ``logmel_floor_db``, ``denoiser`` and its options,
            ``sample_rate_hz``: how the sound is prepared that the ears know. Features are
            ``logmel``, or ``whisper``: log-mel and the states of ``encoder``.
        render: how it speaks.
        made_of: digests, date, clip, consent and licence, for people to read.
        encoder: the layers of Whisper that the ears know; None for log-mel alone.
    """

    portrait: SplatPortrait
    live_ear: Ear
    loop: Moment
    blinks: BlinkManner
    fps: float
    hearing: Mapping[str, Any]
    render: SpeakingOptions
    made_of: Mapping[str, Any]
    encoder: WhisperEncoder | None = None


def save_kept(path: str | os.PathLike[str], kept: Kept) -> None:
    """Write the file. Large tensors are stored in half precision, those that add up in 8 bits.

    Raises InputError: features that no live engine makes.
    """
    if kept.hearing["audio_features"] not in _FEATURES:
        raise InputError(
            "speech.audio_features",
            f"is {kept.hearing['audio_features']}, which a portrait file cannot hear with",
            "use logmel or whisper",
        )
    raw = dict(kept.portrait.state_dict())
    raw |= {f"live_ear.{name}": value for name, value in kept.live_ear.state_dict().items()}
    raw |= {f"loop.{name}": value for name, value in vars(kept.loop).items() if name != "mouth"}
    raw["blinks.pulse"] = torch.as_tensor(kept.blinks.pulse)
    raw["blinks.open_level"] = torch.as_tensor(kept.blinks.open_level)
    if kept.encoder is not None:
        raw |= {_ENCODER + name: value for name, value in kept.encoder.state_dict().items()}
    tensors: dict[str, Tensor] = {}
    for name, value in raw.items():
        tensors |= _encoded(name, value)
    header = {
        "version": VERSION,
        "renderer": "splats",
        "shape": kept.portrait.shape.to_dict(),
        "fps": kept.fps,
        "mean_blink_seconds": kept.blinks.mean_interval_seconds,
        "hearing": dict(kept.hearing),
        "render": asdict(kept.render),
        "made_of": dict(kept.made_of),
        "encoder": None if kept.encoder is None else kept.encoder.to_dict(),
    }
    save_tensors(path, tensors, header)


def load_kept(path: str | os.PathLike[str], rasteriser: str = "auto") -> Kept:
    """Read a file, on the CPU. Raises InputError: absent, broken, of a newer version."""
    stored, header = load_tensors(path)
    version = header.get("version")
    if not isinstance(version, int) or version < 1:
        raise InputError(path, "is no portrait file", "give the path of a .portrait file")
    if version > VERSION:
        raise InputError(
            path, f"is of version {version}, this program reads up to {VERSION}", "update it"
        )
    try:
        return _kept(stored, header, rasteriser)
    except (KeyError, TypeError, ValueError, RuntimeError, AttributeError) as error:
        problem = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(
            path, f"does not hold a whole portrait ({problem})", "copy or make it again"
        ) from None


def _kept(stored: Mapping[str, Tensor], header: Mapping[str, Any], rasteriser: str) -> Kept:
    raw = {name: _decoded(name, stored) for name in stored if not name.endswith(".unit")}
    for name, value in raw.items():
        if value.is_floating_point() and torch.isnan(value).any():
            raise ValueError(f"{name} holds NaN")

    def part(prefix: str) -> dict[str, Tensor]:
        return {
            name.removeprefix(prefix): value
            for name, value in raw.items()
            if name.startswith(prefix)
        }

    shape = SplatShape.from_dict(header["shape"])
    others = ("live_ear.", "loop.", "blinks.", _ENCODER)
    portrait = SplatPortrait(shape, rasteriser)
    portrait.load_state_dict({n: v for n, v in raw.items() if not n.startswith(others)})
    live_ear = Ear(shape.n_audio_features, shape.audio_window, shape.n_mouth, shape.n_heard)
    live_ear.load_state_dict(part("live_ear."))
    encoder = None
    if header.get("encoder") is not None:  # version 1 knows none
        encoder = WhisperEncoder(**header["encoder"])
        encoder.load_state_dict(part(_ENCODER))
        encoder.eval().requires_grad_(False)
    loop = part("loop.")
    n_loop = len(loop["T_camera_head"])
    if not n_loop or any(len(value) != n_loop for value in loop.values()):
        raise ValueError("its loops have different lengths")
    blinks = BlinkManner(
        part("blinks.")["pulse"].numpy().astype(np.float64),
        part("blinks.")["open_level"].numpy().astype(np.float64),
        header["mean_blink_seconds"],
    )
    return Kept(
        portrait.eval(), live_ear, Moment(mouth=torch.zeros(n_loop, shape.n_mouth), **loop),
        blinks, float(header["fps"]), header["hearing"],
        options_of(SpeakingOptions, header["render"]), header["made_of"], encoder,
    )  # fmt: skip


def _encoded(name: str, value: Tensor) -> dict[str, Tensor]:
    if name == "plate":
        return {name: (value * 255).round().to(torch.uint8)}
    if name.startswith(_IN_BYTES) or (name.startswith(_ENCODER) and value.numel() >= _SMALL):
        unit = value.abs().amax(0).clamp_min(1e-6) / 127
        return {name: (value / unit).round().to(torch.int8), f"{name}.unit": unit}
    # A position would lose a tenth of a pixel in half precision.
    if not value.is_floating_point() or value.numel() < _SMALL or name == "body.means":
        return {name: value.float() if value.is_floating_point() else value}
    return {name: value.half()}


def _decoded(name: str, stored: Mapping[str, Tensor]) -> Tensor:
    value = stored[name]
    if name == "plate":
        return value.float() / 255
    if f"{name}.unit" in stored:
        return value.float() * stored[f"{name}.unit"]
    return value.float() if value.is_floating_point() else value
