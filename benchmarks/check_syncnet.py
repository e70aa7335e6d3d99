"""Does our SyncNet say what the public one says? The check value of its authors' example clip.

    snakemake --cores 1 weights/syncnet_v2.model
    python benchmarks/check_syncnet.py example.avi weights/syncnet_v2.model

``example.avi`` is published beside the weights
(http://www.robots.ox.ac.uk/~vgg/software/lipsync/data/example.avi): face crops of 224x224. The
authors' own evaluation gives offset 3, distance 5.353 and confidence 10.021.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from wildtalker_core.media.audio import decode_sound
from wildtalker_core.media.video import read_video
from wildtalker_core.metrics.sync import lip_sync_error
from wildtalker_core.pretrained.syncnet import CROP_PX, SAMPLE_RATE_HZ, SyncNetEmbedder

EXPECTED_OFFSET, EXPECTED_LSE_D, EXPECTED_LSE_C = 3, 5.353, 10.021
# ASSUME: the authors pass the frames through jpg files and another decoder; that is worth this.
TOLERANCE = 0.15


def main(video_path: str, weights_path: str) -> int:
    crops = np.stack([frame for frame, _ in read_video(video_path)])
    if crops.shape[1:3] != (CROP_PX, CROP_PX):
        print(f"{video_path}: {crops.shape[1:3]}, want the authors' crops of {CROP_PX}x{CROP_PX}")
        return 1
    waveform = decode_sound(video_path, SAMPLE_RATE_HZ)
    found = lip_sync_error(*SyncNetEmbedder(weights_path)(crops, waveform))
    print(f"offset {found.offset_frames} (expected {EXPECTED_OFFSET})")
    print(f"LSE-D  {found.lse_d:.3f} (expected {EXPECTED_LSE_D})")
    print(f"LSE-C  {found.lse_c:.3f} (expected {EXPECTED_LSE_C})")
    is_same = (
        found.offset_frames == EXPECTED_OFFSET
        and abs(found.lse_d - EXPECTED_LSE_D) < TOLERANCE
        and abs(found.lse_c - EXPECTED_LSE_C) < TOLERANCE
    )
    print("the same" if is_same else "NOT the same")
    return 0 if is_same else 1


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    sys.exit(main(*sys.argv[1:]))
