"""What preparation made of real clips: one line per clip of a results folder.

    python benchmarks/real_clips.py results

For clips whose truth nobody knows: the frames, those without a face, whether all that is stored per
frame is equally long and the speech lasts as long as the frames, the head's jitter (mean second
difference of the projected rigid points, pixels at 512; the person's own motion is in it) of the
per-frame fit and of the stabilised pose, and how much of the picture is called transient or hands.
Overlays show the rest: results/{clip}/occlusion/overlay.png.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from wildtalker_core.media.audio import read_waveform
from wildtalker_core.media.files import load_arrays, load_json
from wildtalker_core.media.frame_store import FrameStore
from wildtalker_core.person.parsing import HANDS

STORES = (
    "media/frames", "person/parsing", "occlusion/transient_mask", "occlusion/hand_free",
)  # fmt: skip
N_LOOKED_AT = 100


def share(store: FrameStore, channel: int | None = None) -> float:
    """Mean part of the pixels above one half, over some frames."""
    frames = np.linspace(0, len(store) - 1, min(N_LOOKED_AT, len(store))).round().astype(int)
    masks = (store[int(i)] if channel is None else store[int(i)][..., channel] for i in frames)
    return float(np.mean([(mask > 127).mean() for mask in masks]))


def line(clip: Path) -> str:
    manifest = load_json(clip / "media" / "manifest.json")
    n, source = manifest["n_frames"], manifest["source"]
    stores = {name: FrameStore(clip / f"{name}.zarr.zip") for name in STORES}
    landmarks = load_arrays(clip / "person" / "landmarks.npz", "is_interpolated")
    pose = load_arrays(clip / "pose" / "head_pose.npz", "coarse_jitter_px", "jitter_px")
    speech, rate_hz = read_waveform(clip / "media" / "speech.wav")
    features = next((clip / "speech").glob("*/audio_features.npz"))
    lengths = {len(store) for store in stores.values()} | {len(landmarks["is_interpolated"])}
    lengths.add(len(load_arrays(features, "audio_features")["audio_features"]))
    is_whole = lengths == {n} and abs(len(speech) / rate_hz - n / manifest["fps"]) < 1e-3
    return (
        f"{clip.name:12s} {source['width']:5d}x{source['height']:<5d} {source['fps']:6.2f} {n:6d} "
        f"{len(manifest['faceless_frames']):8d} {int(landmarks['is_interpolated'].sum()):12d} "
        f"{'yes' if is_whole else 'NO':>6s} {float(pose['coarse_jitter_px']):8.2f} "
        f"{float(pose['jitter_px']):10.2f} {share(stores['occlusion/transient_mask']):9.2%} "
        f"{share(stores['person/parsing'], HANDS):7.2%}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path, help="folder of a run whose clips are prepared")
    arguments = parser.parse_args()
    print(
        f"{'clip':12s} {'source':>11s} {'fps':>6s} {'frames':>6s} {'faceless':>8s} "
        f"{'interpolated':>12s} {'whole':>6s} {'jitter':>8s} {'stabilised':>10s} "
        f"{'transient':>9s} {'hands':>7s}"
    )
    for scene in sorted(arguments.results.glob("*/scene/scene.npz")):
        print(line(scene.parents[1]), flush=True)


if __name__ == "__main__":
    main()
