"""How well masks find what comes and goes, on clips whose occluder is known.

    python benchmarks/transient_mask.py
    python benchmarks/transient_mask.py --flow ptlflow --weights raft-small.pth

The example's generator renders situations (a hand waves, enters slowly, is held, leaves, holds a
prop; the body merely sways). Those of ``situations.CHOSEN_ON`` have chosen the constants; those of
``situations.HELD_OUT``, with other persons, clothes, paths, noise and compression, have not. Per
situation: precision, recall and IoU of the accumulated mask (above one half), of the flow threshold
alone (at θ of the config, at its best θ, and at the θ that is as precise as the accumulated mask;
both found on the very situations that it is scored on), and of Eq. 4 with a constant decay, all
outside the head; from flow alone, and with the parsing's hands. What matters downstream stands
beside: the share of the occluder that is left visible outside the region that the stage hides, and
the share of the visible torso that is hidden with it. The occluder's shadow moves, and should not
be learnt either, but is no occluder in this truth: its pixels count neither way, and the precision
with them as errors stands beside.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from situations import CHOSEN_ON, FPS, HELD_OUT, Clip, Scenario, make_clip

from wildtalker_core.occlusion.flow import DisFlow, FlowEstimator, measure_motion, without_hands
from wildtalker_core.occlusion.hand_removal import hidden_region
from wildtalker_core.occlusion.options import OcclusionSection
from wildtalker_core.occlusion.rigid_motion import RigidMotion
from wildtalker_core.occlusion.transient_mask import (
    accumulate,
    restrict_to_transients,
    threshold_px,
    without_head_motion,
)
from workflow_scripts.occlusion.accumulate_transient_masks import backward, make_decay

DEFAULT = "accumulated (default)"
#: Thresholds of the flow alone, shares of the frame height per frame.
THRESHOLDS = tuple(float(t) for t in np.geomspace(0.0006, 0.012, 9).round(5))


@dataclass(frozen=True)
class Measured:
    """What estimate_flow gives for a clip; the parsing without hands if they are not used."""

    flow_magnitude: list[np.ndarray]
    motions: list[RigidMotion]
    parsing: np.ndarray
    use_hands: bool


def measure(clip: Clip, use_hands: bool, estimate: FlowEstimator | None = None) -> Measured:
    """Flow beyond rigid motion of a clip; by DIS unless told otherwise."""
    estimate = estimate or DisFlow("medium")
    stream = list(measure_motion(clip.frames, clip.parsing, clip.landmarks, estimate, 1, use_hands))
    parsing = clip.parsing if use_hands else np.stack([without_hands(p) for p in clip.parsing])
    magnitude = [
        without_head_motion(frame.beyond_rigid, p) for frame, p in zip(stream, parsing, strict=True)
    ]
    return Measured(magnitude, [frame.rigid for frame in stream], parsing, use_hands)


def accumulated(
    clip: Clip, measured: Measured, options: OcclusionSection, is_backward: bool
) -> np.ndarray:
    """Transient masks [n, height, width] float32 as the stage makes them."""
    step = -1 if is_backward else 1
    motions = backward(measured.motions) if is_backward else measured.motions
    height = clip.frames.shape[1]
    parsing = measured.parsing[::step]
    decay = make_decay(
        replace(options, use_hands=measured.use_hands),
        height, FPS, iter(clip.frames[::step]), iter(parsing), motions,
    )  # fmt: skip
    masks = accumulate(
        measured.flow_magnitude[::step], threshold_px(options.flow_threshold, height, FPS), decay
    )
    made = [
        restrict_to_transients(mask, p, measured.use_hands)
        for mask, p in zip(masks, parsing, strict=True)
    ]
    return np.stack(made)[::step]


def both_ways(clip: Clip, measured: Measured, options: OcclusionSection) -> np.ndarray:
    """The larger of the masks forward and backward in time."""
    forward = accumulated(clip, measured, options, False)
    return np.maximum(forward, accumulated(clip, measured, options, True))


def variants(clip: Clip, measured: Measured, options: OcclusionSection) -> dict[str, np.ndarray]:
    """Masks [n, height, width] float32 by every way that is compared."""

    def forward(**changes: Any) -> np.ndarray:
        return accumulated(clip, measured, replace(options, **changes), False)

    causal = forward()
    masks = {
        DEFAULT: np.maximum(causal, accumulated(clip, measured, options, True)),
        "accumulated, forward": causal,
        "decay adaptive, forward": forward(decay="adaptive"),
        "Eq. 4, constant 0.9": forward(decay="constant", constant_decay=0.9),
        "Eq. 4, constant 0.97": forward(decay="constant", constant_decay=0.97),
    }
    for threshold in THRESHOLDS:
        masks[f"threshold {threshold:.5f}"] = forward(
            decay="constant", constant_decay=0.0, flow_threshold=threshold
        )
    return masks


def shadow(clip: Clip) -> np.ndarray:
    """[n, height, width] bool: beside the occluder, but darkened by its shadow; counts nowhere."""
    shaded = []
    for frame, clean, occluder in zip(clip.frames, clip.hand_free, clip.occluder, strict=True):
        change = cv2.absdiff(cv2.blur(frame, (3, 3)), cv2.blur(clean, (3, 3))).max(-1)
        shaded.append((change > 10) & ~occluder)
    return np.stack(shaded)


@dataclass(frozen=True)
class Scores:
    """Of a mask against the occluder; each in [0, 1], NaN where a clip cannot say.

    precision, recall, iou: outside the head and the occluder's shadow.
    shadowed_precision: the shadow counts as error.
    torso_masked: share of the visible torso in the mask.
    hand_left: share of the occluder outside the region that hand removal hides.
    torso_hidden: share of the visible torso inside that region.
    """

    precision: float
    recall: float
    iou: float
    shadowed_precision: float
    torso_masked: float
    hand_left: float
    torso_hidden: float

    def row(self) -> str:
        """As printed."""
        figures = [f"{value:9.3f}" for value in (self.precision, self.recall, self.iou)]
        figures.append(f"{self.shadowed_precision:9.3f}")
        shares = (self.torso_masked, self.hand_left, self.torso_hidden)
        figures += [f"{100 * value:8.2f}%" for value in shares]
        return "".join(figures).replace("      nan", "        -").replace("     nan%", "        -")


def score(
    mask: np.ndarray,
    clip: Clip,
    parsing: np.ndarray,
    is_shaded: np.ndarray,
    options: OcclusionSection,
) -> Scores:
    """Scores of a mask [n, height, width] float32 in [0, 1] of a clip; see :func:`shadow`."""
    level, margin = options.mask_level, options.hidden_margin
    is_masked = mask > level
    in_bytes = np.rint(255 * mask).astype(np.uint8)
    hidden = np.stack(
        [hidden_region(m, p, level, margin) for m, p in zip(in_bytes, parsing, strict=True)]
    )
    outside = ~clip.head
    torso = clip.person & outside & ~clip.occluder & ~is_shaded

    def share(part: np.ndarray, whole: np.ndarray) -> float:
        total = int(whole.sum())
        return int((part & whole).sum()) / total if total else float("nan")

    occluder = clip.occluder & outside
    torso_shares = share(is_masked, torso), share(hidden, torso)
    if not occluder.any():
        return Scores(*(float("nan"),) * 4, torso_shares[0], float("nan"), torso_shares[1])
    return Scores(
        share(occluder, is_masked & outside & ~is_shaded),
        share(is_masked, occluder & ~is_shaded),
        share(is_masked & occluder, (is_masked | occluder) & outside & ~is_shaded),
        share(occluder, is_masked & outside),
        torso_shares[0],
        share(~hidden, occluder),
        torso_shares[1],
    )


def mean(scores: list[Scores]) -> Scores:
    """Over situations, leaving out what a situation cannot say."""
    return Scores(*(float(np.nanmean([getattr(s, f) for s in scores])) for f in HEADINGS))


HEADINGS = {
    "precision": "precision",
    "recall": "recall",
    "iou": "IoU",
    "shadowed_precision": "p. shadow",
    "torso_masked": "torso m.",
    "hand_left": "hand left",
    "torso_hidden": "torso h.",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--folder", type=Path, help="keep the rendered situations here")
    parser.add_argument("--only", nargs="*", help="names of situations; all without")
    parser.add_argument("--flow", choices=("dis", "ptlflow"), default="dis")
    parser.add_argument("--weights", type=Path, help="of ptlflow's raft_small")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    estimate = None
    if arguments.flow == "ptlflow":
        from wildtalker_core.pretrained.optical_flow import PtlFlow

        estimate = PtlFlow("raft_small", str(arguments.weights), "auto")
    began = time.process_time()
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder or Path(temporary)
        for title, scenarios in (("chosen_on", CHOSEN_ON), ("held_out", HELD_OUT)):
            wanted = {k: s for k, s in scenarios.items() if k in (arguments.only or scenarios)}
            for use_hands in (False, True):
                report(title, wanted, folder / title, use_hands, estimate)
    print(f"\n{time.process_time() - began:.0f} s of CPU")


def report(
    title: str,
    scenarios: dict[str, Scenario],
    folder: Path,
    use_hands: bool,
    estimate: FlowEstimator | None,
) -> None:
    """Print the table of one set of situations."""
    options = OcclusionSection()
    found: dict[str, dict[str, Scores]] = {}
    for name, scenario in scenarios.items():
        clip = make_clip(scenario, folder / name)
        measured, is_shaded = measure(clip, use_hands, estimate), shadow(clip)
        for variant, mask in variants(clip, measured, options).items():
            scores = score(mask, clip, measured.parsing, is_shaded, options)
            found.setdefault(variant, {})[name] = scores
    means = {variant: mean(list(of.values())) for variant, of in found.items()}
    plain = [variant for variant in means if variant.startswith("threshold")]
    config = min(plain, key=lambda v: abs(float(v.split()[1]) - options.flow_threshold))
    best = max(plain, key=lambda v: means[v].iou)
    precise = [v for v in plain if means[v].precision >= means[DEFAULT].precision]
    equal = max(precise or plain, key=lambda v: means[v].recall if precise else means[v].precision)
    shown = {v: v for v in means if v not in plain}
    shown |= {config: "threshold, near θ of config", best: "threshold, best IoU"}
    shown[equal] = "threshold, as precise" if precise else "threshold, most precise"
    print(f"\n{title}, {'with the hands of the parsing' if use_hands else 'from flow alone'}")
    print(f"{'':14}{'':38}" + "".join(f"{heading:>9}" for heading in HEADINGS.values()))
    for name in scenarios:
        for variant, label in shown.items():
            print(f"{name:14}{_labelled(variant, label):38}{found[variant][name].row()}")
    for variant, label in shown.items():
        print(f"{'mean':14}{_labelled(variant, label):38}{means[variant].row()}", flush=True)
    gain = means[DEFAULT].recall - means[equal].recall
    print(f"recall of the accumulated mask above the equally precise threshold's: {gain:+.3f}")


def _labelled(variant: str, label: str) -> str:
    return f"{label} ({variant.split()[1]})" if variant.startswith("threshold") else label


if __name__ == "__main__":
    main()
