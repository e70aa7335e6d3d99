"""Options of a portrait that speaks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from wildtalker_core.option_types import Positive, limits


@dataclass(frozen=True)
class SpeakingOptions:
    """From what is heard to the mouth that is shown."""

    mouth_gain: Positive = 1.1
    """Factor of what the sound adds to the mean mouth (needs lip_feature mouth_shape; ours). What
    is uncertain is heard too small; chosen on training and validation frames (docs/portrait.md)."""
    close_in_silence: bool = True
    """Draw the mouth to its rest where nobody speaks (needs lip_feature mouth_shape; ours)."""
    lip_smoothing: Annotated[float, limits(0, below=1)] = 0
    """Part of the last frame's lip feature that stays (0.35 in the peers, 0 is off)."""
