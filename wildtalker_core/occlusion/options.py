"""Options of the stage occlusion."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from wildtalker_core.option_types import Count, Positive, Share, limits


@dataclass(frozen=True)
class DeviceOption:
    """Of what may run a network."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where networks of this stage run; auto takes the GPU where there is one."""


@dataclass(frozen=True)
class HandsOption:
    """Of what may trust the parsing's hands."""

    use_hands: bool = True
    """Take the hands that the parsing detects as transient whether they move or not. Ours; the
    paper has flow alone. On by measurement (benchmarks/transient_mask.py, held-out situations): of
    the hands 0.1 % stay visible to training instead of 2.5 %, for 6.7 % of the torso hidden instead
    of 5.4 %; and `inpaint temporal` shows the hidden torso again, while nothing takes back a hand
    that was learnt."""


@dataclass(frozen=True)
class FlowOptions(HandsOption, DeviceOption):
    """How motion is measured."""

    flow: Literal["dis", "ptlflow"] = "dis"
    """Optical flow; dis is OpenCV's dense inverse search, which needs no weights; ptlflow is a
    network (flow_model) with weights (flow_weights_path). The paper has GMFlow."""
    dis_preset: Literal["ultrafast", "fast", "medium"] = "medium"
    """Quality of `flow dis`, as OpenCV names it; medium costs 4 times fast."""
    flow_model: str = "gmflow"
    """Network of `flow ptlflow`, a name of ptlflow; gmflow is the paper's."""
    flow_weights_path: str = ""
    """Weights of flow_model, a state dict (.pth, .ckpt, .safetensors)."""
    flow_batch_size: Count = 4
    """Pairs of frames a step of `flow ptlflow`."""
    beyond_rigid: bool = True
    """Take for V of Eq. 4 what moves beyond the rigid motion of camera, head and torso (ours);
    false takes the flow as it is, as Eq. 4 is printed."""


@dataclass(frozen=True)
class MaskOptions(HandsOption):
    """How motion becomes a transient mask (Eq. 4)."""

    flow_threshold: Annotated[float, limits(most=1, above=0)] = 0.003
    """θ of Eq. 4, share of the frame height per frame at 25 frames per second. The paper is silent;
    chosen by benchmarks/transient_mask.py."""
    decay: Literal["memory", "adaptive", "constant"] = "memory"
    """δ of Eq. 4; adaptive follows the flow's magnitude at frame i, as in the paper, per pixel;
    memory also follows the flow against the person as last seen unmasked (ours); constant is one
    factor for all."""
    direction: Literal["forward", "both"] = "both"
    """forward is Eq. 4, causal; both takes the larger of the masks forward and backward in time, so
    that a hand present from the first frame is masked from there, too, and a hand that comes to
    rest is. benchmarks/transient_mask.py measures both better (flow alone, mean IoU .76 against
    .65)."""
    constant_decay: Share = 0.95
    """Factor of `decay constant` per frame at 25 frames per second. The paper is silent."""
    still_flow: Share = 3e-4
    """Up to this motion a region is at rest, share of the frame height per frame at 25 fps.
    Ours."""
    stirring_flow: Annotated[float, limits(most=1, above=0)] = 8e-4
    """From this motion on a region stirs, share of the frame height per frame at 25 fps. Ours."""
    rest_half_life_seconds: Positive = 0.6
    """Time in which the mask of a region at rest halves, seconds. Ours."""
    return_half_life_seconds: Positive = 0.04
    """Time in which the mask halves where `decay memory` sees what was there before, seconds.
    Ours."""
    stir_half_life_seconds: Positive = 8.0
    """Time in which the mask of a region that stirs halves, seconds. Ours."""


@dataclass(frozen=True)
class RemovalOptions(DeviceOption):
    """How hand-free frames are made."""

    inpaint: Literal["temporal", "lama", "telea"] = "temporal"
    """How hand-free frames are made; temporal takes hidden pixels from other frames, lama is the
    paper's network (needs weights), telea spreads the colours of the edge."""
    lama_weights_path: str = ""
    """big-lama as TorchScript; empty takes the variable LAMA_MODEL."""
    mask_level: Share = 0.5
    """The transient mask counts as a hand above this, 0 to 1. Ours."""
    hidden_margin: Annotated[float, limits(0, 0.2)] = 0.025
    """Margin around what is removed, share of the frame height. Ours; at half of it up to 2 % of a
    hand stay visible, at one and a half the torso gains less than 0.1 dB."""
    max_sources: Count = 8
    """Other frames that fill one frame, at most. Ours."""


@dataclass(frozen=True)
class OcclusionSection(RemovalOptions, MaskOptions, FlowOptions):
    """What moves in front of the person, and the frames without it."""
