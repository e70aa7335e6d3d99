from wildtalker_core.media.options import FrameOptions
from wildtalker_core.robustness.options import SpoilOptions


rule extract_frames:
    input:
        video=clip_path,
        networks=MEDIAPIPE_NETWORKS,
    output:
        frames=results("{clip}/media/frames.zarr.zip"),
        manifest=results("{clip}/media/manifest.json"),
    log:
        results("{clip}/logs/extract_frames.log"),
    benchmark:
        results("{clip}/benchmarks/extract_frames.tsv")
    wildcard_constraints:
        clip=any_of([*clips(), CLEAN_CLIP]),
    conda:
        "../envs/wildtalker.yaml"
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        raw=stamp_of(clip_path),
        code=code_of("media/extract_frames"),
        options=stage_options("media", FrameOptions),
    script:
        "../workflow_scripts/media/extract_frames.py"


rule extract_speech:
    input:
        sound=clip_sound,
        manifest=results("{clip}/media/manifest.json"),
        split=results("{clip}/media/split.json"),
    output:
        speech=results("{clip}/media/speech.wav"),
        facts=results("{clip}/media/speech.json"),
    log:
        results("{clip}/logs/extract_speech.log"),
    wildcard_constraints:
        clip=any_of([*clips(), CLEAN_CLIP]),
    conda:
        "../envs/wildtalker.yaml"
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        raw=stamp_of(clip_sound),
        code=code_of("media/extract_speech"),
        audio_stream=lambda wildcards: clip_config(wildcards)["media"]["audio_stream"],
    script:
        "../workflow_scripts/media/extract_speech.py"


rule split_frames:
    input:
        frames=results("{clip}/media/frames.zarr.zip"),
        manifest=results("{clip}/media/manifest.json"),
    output:
        split=results("{clip}/media/split.json"),
    log:
        results("{clip}/logs/split_frames.log"),
    conda:
        "../envs/wildtalker.yaml"
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        code=code_of("media/split_frames"),
        train_fraction=lambda wildcards: clip_config(wildcards)["media"][
            "train_fraction"
        ],
    script:
        "../workflow_scripts/media/split_frames.py"


# The robustness benchmark's clips: the clean one with hands and noise.
rule spoil_clip:
    input:
        frames=results(f"{CLEAN_CLIP}/media/frames.zarr.zip"),
        manifest=results(f"{CLEAN_CLIP}/media/manifest.json"),
        speech=results(f"{CLEAN_CLIP}/media/speech.wav"),
        split=results(f"{CLEAN_CLIP}/media/split.json"),
        noise=ROBUSTNESS["noise_path"] or [],
        networks=MEDIAPIPE_NETWORKS,
    output:
        frames=results("{clip}/media/frames.zarr.zip"),
        manifest=results("{clip}/media/manifest.json"),
        speech=results("{clip}/media/speech.wav"),
        occluder=results("{clip}/media/occluder.zarr.zip"),
        video=results("{clip}/media/spoiled.mp4"),
    log:
        results("{clip}/logs/spoil_clip.log"),
    benchmark:
        results("{clip}/benchmarks/spoil_clip.tsv")
    wildcard_constraints:
        clip=any_of([clip for clip in robustness_clips() if clip != CLEAN_CLIP]),
    conda:
        "../envs/wildtalker.yaml"
    resources:
        mem_mb=2000,
        # A hand of 512 pixels takes most of a second a frame.
        runtime=240,
    params:
        raw=stamp_of(ROBUSTNESS["noise_path"] or []),
        code=code_of("media/spoil_clip"),
        strength_percent=lambda wildcards: robustness_clips()[wildcards.clip],
        options={key: ROBUSTNESS[key] for key in names_of(SpoilOptions)},
    script:
        "../workflow_scripts/media/spoil_clip.py"
