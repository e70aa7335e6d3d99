"""Options of the stage render."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from wildtalker_core.media.options import CodecOptions
from wildtalker_core.mouth.options import SpeakingOptions
from wildtalker_core.option_types import Natural, limits
from wildtalker_core.training.options import Drawing


@dataclass(frozen=True)
class RenderSection(SpeakingOptions, CodecOptions):
    """From a portrait and speech to a video."""

    mode: Literal["portrait", "head"] = "portrait"
    """portrait shows our head, torso and background; head shows our head before the reference
    frame, as most papers score it (their figures contain true pixels then)."""
    chunk_rays: Annotated[int, limits(256)] = 32768
    """Rays rendered at once; bounds the memory."""


@dataclass(frozen=True)
class RenderOptions(RenderSection, Drawing):
    """What a setting is drawn with (``settings.render_options``): of `train` what computes, too."""

    seed: Natural = 0
    """Of the blinks that go with other speech."""
