"""Options of the stage evaluate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Literal, get_args

from wildtalker_core.option_types import limits
from wildtalker_core.speech.options import Made


@dataclass(frozen=True)
class ScoreOptions:
    """What frames are scored with."""

    lpips_weights: str | None = "auto"
    """torchvision's ImageNet weights of the LPIPS backbone; auto fetches the registry's file of
    lpips_net and prints LPIPS as n/a where it cannot be had; null prints it as n/a."""
    lpips_net: Literal["alex", "vgg"] = "alex"
    """Backbone of LPIPS that lpips_weights belongs to; alex in nearly all papers."""
    syncnet_weights: str | None = None
    """SyncNet v2's public weights file (registry: syncnet); null prints LSE-C and LSE-D as n/a."""
    blendshape_model: str | None = None
    """MediaPipe's face_landmarker.task (registry: face_landmarker) for blendshape_error; null
    prints it as n/a."""
    openface_dir: str | None = None
    """Folder of OpenFace 2.2 tables for AUE, one row a rendered frame: {clip}/reference.csv,
    {clip}/{method}.csv and, for Table 2, {clip}/{method}.head.csv and
    {clip}/{method}.head_{corruption}.csv; null prints AUE as n/a."""
    has_ms_ssim: bool = True
    """Compute MS-SSIM as well (SyncTalk's table has it; below 176 pixels it is n/a)."""


@dataclass(frozen=True)
class SpeechPairs:
    """Pairs of clean and noisy speech for the target `tabulate_pairs`, Table 3 on real recordings:
    pairs_dir, or clean_dir and noisy_dir, with equal file names."""

    pairs_dir: str | None = None
    """Folder laid out as VoiceBank-DEMAND is, with clean_testset_wav/ and noisy_testset_wav/; null
    if there is none."""
    clean_dir: str | None = None
    """Folder of clean wav or flac files, in place of pairs_dir; null if there is none."""
    noisy_dir: str | None = None
    """Folder of the same files with noise; null if there is none."""
    denoisers: Annotated[Sequence[Made], limits(uniqueItems=True)] = (
        "none",
        "spectral_subtraction",
        "mss",
        "mss_adaptive",
        "log_mmse",
        "noisereduce",
        "noisereduce_nonstationary",
    )
    """Rows of the table that are made here; none is the noisy recording."""
    external: Annotated[
        Mapping[str, str],
        limits(
            propertyNames={
                "pattern": "^[a-z0-9][a-z0-9_]*$",
                "not": {"enum": ["noisy", *get_args(Made)]},
            },
            additionalProperties={"type": "string", "description": "folder of enhanced files"},
        ),
    ] = field(default_factory=dict)
    """Further rows by name, each a folder of files that another method has enhanced, with the names
    of the noisy ones: {cmgan: path}."""


@dataclass(frozen=True)
class EvaluateSection(ScoreOptions):
    """Scores of finished videos and of denoised speech."""

    test_corruptions: Annotated[Sequence[str], limits(uniqueItems=True)] = ()
    """Names under speech.corruptions: the noises of Table 2's corrupted columns. Each method,
    trained on the speech it was given, then hears the test frames' speech with them. Finished
    videos of external methods lie under {path}/{clip}/self_driven_{name}.mp4."""
    has_ceiling: bool = True
    """Score the first trained method on frames that it was trained on as well: what its portrait
    can reach at best, shown beside the rows and never ranked with them."""
    speech_seconds: Annotated[float, limits(2, 20)] = 10
    """PESQ and the other speech scores are means over parts of about this length, seconds (8 to 12,
    ITU-T P.862.3)."""
    speech_pairs: SpeechPairs = SpeechPairs()
