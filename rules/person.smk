from wildtalker_core.person.options import (
    FocalLengthOptions,
    HandOptions,
    LandmarkOptions,
)


rule detect_landmarks:
    input:
        frames=results("{clip}/media/frames.zarr.zip"),
        manifest=results("{clip}/media/manifest.json"),
        split=results("{clip}/media/split.json"),
        networks=MEDIAPIPE_NETWORKS,
    output:
        landmarks=results("{clip}/person/landmarks.npz"),
    log:
        results("{clip}/logs/detect_landmarks.log"),
    benchmark:
        results("{clip}/benchmarks/detect_landmarks.tsv")
    conda:
        "../envs/wildtalker.yaml"
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        code=code_of("person/detect_landmarks"),
        options=stage_options("person", LandmarkOptions),
    script:
        "../workflow_scripts/person/detect_landmarks.py"


rule parse_portrait:
    input:
        frames=results("{clip}/media/frames.zarr.zip"),
        landmarks=results("{clip}/person/landmarks.npz"),
        split=results("{clip}/media/split.json"),
        networks=MEDIAPIPE_NETWORKS,
    output:
        parsing=results("{clip}/person/parsing.zarr.zip"),
        background=results("{clip}/person/background.png"),
    log:
        results("{clip}/logs/parse_portrait.log"),
    benchmark:
        results("{clip}/benchmarks/parse_portrait.tsv")
    conda:
        "../envs/wildtalker.yaml"
    resources:
        mem_mb=2000,
        runtime=120,
    params:
        code=code_of("person/parse_portrait"),
        options=stage_options("person", HandOptions),
    script:
        "../workflow_scripts/person/parse_portrait.py"


rule track_head:
    input:
        landmarks=results("{clip}/person/landmarks.npz"),
        manifest=results("{clip}/media/manifest.json"),
        split=results("{clip}/media/split.json"),
    output:
        head_track=results("{clip}/person/head_track.npz"),
    log:
        results("{clip}/logs/track_head.log"),
    conda:
        "../envs/wildtalker.yaml"
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        code=code_of("person/track_head"),
        options=stage_options("person", FocalLengthOptions),
    script:
        "../workflow_scripts/person/track_head.py"
