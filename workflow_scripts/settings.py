"""What a portrait is asked to show, by the name of the setting, and what that reads."""

from collections.abc import Mapping
from typing import Any

from wildtalker_core.media.options import CodecOptions
from wildtalker_core.option_types import names_of

#: The test split by itself, the head alone: the lips of Table 2.
HEAD = "head"


def is_driven(setting: str) -> bool:
    """Whether other speech is spoken, of which no video exists."""
    return setting.startswith("drive_")


def is_head(setting: str) -> bool:
    """Whether the head is shown before the reference: ``head``, or ``head_{corruption}``."""
    return setting == HEAD or setting.startswith(f"{HEAD}_")


def corruption_of(setting: str) -> str | None:
    """The entry of speech.corruptions that a portrait of the test split hears, or None.

    >>> corruption_of("head_cafe_7")
    'cafe_7'
    """
    return setting.removeprefix(f"{HEAD}_") if is_head(setting) and setting != HEAD else None


def render_options(view: Mapping[str, Any], setting: str) -> dict[str, Any]:
    """What drawing a setting reads of a method's sections ``render`` and ``train``.

    Args:
        view: the method's config (``configuration.method_view``).
    """
    render, train = view["render"], view["train"]
    is_field = train["renderer"] == "field"
    names = [*names_of(CodecOptions), "lip_smoothing"]
    names += [] if is_head(setting) else ["mode"]
    names += ["chunk_rays"] if is_field else []
    if not is_field or train["model"]["lip_feature"] == "mouth_shape":
        names += ["mouth_gain", "close_in_silence"]
    of_train = ["device", "encoder" if is_field else "rasteriser"]
    of_train += ["seed"] if is_driven(setting) else []
    return {name: render[name] for name in names} | {name: train[name] for name in of_train}
