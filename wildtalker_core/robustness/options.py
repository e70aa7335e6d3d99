"""Options of the paired benchmark, in which a clean clip is spoiled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from wildtalker_core.option_types import Natural, Share, limits


@dataclass(frozen=True)
class SpoilOptions:
    """What is drawn into a clip and mixed into its speech."""

    hand_share: Share = 0.75
    """Share of the time that gestures take at strength 100, 0 to 1 (ours). The hand itself, which
    comes from below the frame, is in view a little less."""
    place: Literal["chest", "mouth"] = "chest"
    """What the hands pass in front of: the chest, as the paper's do, or the mouth."""
    face_box: Annotated[Sequence[Share] | None, limits(maxItems=4, minItems=4)] = None
    """Where the face is, from which the hands' place follows: x0, y0, x1, y1 (brows to chin) as
    shares of the stored square frame; null takes the face detector's."""
    snr_db: Annotated[float, limits(-20, 60)] = 5
    """Speech over noise at strength 100, dB; half the strength is 6 dB less noise."""
    noise: Literal["babble", "pink"] = "babble"
    """What is mixed in where noise_path names no recording."""
    seed: Natural = 0
    """Of the hands' paths."""


@dataclass(frozen=True)
class RobustnessSection(SpoilOptions):
    """The paired benchmark: a clean clip is spoiled with drawn hands and noise at several
    strengths; each method is trained on the spoiled clip and scored against the clean one. Its
    clips are named spoiled_{strength}, and join no other table.
    """

    path: str | None = None
    """A clean clip (nothing in front of the person, a quiet room), any video that ffmpeg reads;
    null makes no benchmark."""
    sound: str | None = None
    """A sound file in place of the video's own sound; null takes that."""
    strengths: Annotated[
        Sequence[Annotated[int, limits(0, 100)]], limits(minItems=1, uniqueItems=True)
    ] = (0, 50, 100)
    """Percent, each a clip of its own; 0 is the clean clip. The time with a hand in view and the
    noise's amplitude grow in proportion."""
    methods: Annotated[Sequence[str] | None, limits(uniqueItems=True)] = None
    """Names of `methods` that take part; null takes all that are trained here. Finished videos of
    external ones lie under {path}/spoiled_{strength}/self_driven.mp4."""
    noise_path: str | None = None
    """A recorded noise, any sound file that ffmpeg reads; null makes `noise`."""
