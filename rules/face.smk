rule detect_landmarks:
    input:
        frames=results("{clip}/media/frames.zarr.zip"),
        manifest=results("{clip}/media/manifest.json"),
        split=results("{clip}/media/split.json"),
    output:
        landmarks=results("{clip}/face/landmarks.npz"),
    log:
        results("{clip}/logs/detect_landmarks.log"),
    benchmark:
        results("{clip}/benchmarks/detect_landmarks.tsv")
    conda:
        "../envs/wildtalker.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        code=code_of("face/detect_landmarks"),
        options=stage_options(
            "face",
            "max_faces",
            "max_gap_seconds",
            "max_faceless_share",
            "smoothing_window_frames",
            "smoothing_order",
        ),
    script:
        "../workflow_scripts/face/detect_landmarks.py"


rule parse_portrait:
    input:
        frames=results("{clip}/media/frames.zarr.zip"),
        landmarks=results("{clip}/face/landmarks.npz"),
        split=results("{clip}/media/split.json"),
    output:
        parsing=results("{clip}/face/parsing.zarr.zip"),
        background=results("{clip}/face/background.png"),
    log:
        results("{clip}/logs/parse_portrait.log"),
    benchmark:
        results("{clip}/benchmarks/parse_portrait.tsv")
    conda:
        "../envs/wildtalker.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=120,
    params:
        code=code_of("face/parse_portrait"),
        options=stage_options("face", "max_hand_gap_frames", "min_hand_frames"),
    script:
        "../workflow_scripts/face/parse_portrait.py"


rule track_head:
    input:
        landmarks=results("{clip}/face/landmarks.npz"),
        manifest=results("{clip}/media/manifest.json"),
        split=results("{clip}/media/split.json"),
    output:
        head_track=results("{clip}/face/head_track.npz"),
    log:
        results("{clip}/logs/track_head.log"),
    conda:
        "../envs/wildtalker.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        code=code_of("face/track_head"),
        options=stage_options("face", "focal_length_prior", "focal_length_spread"),
    script:
        "../workflow_scripts/face/track_head.py"


rule stabilize_head:
    input:
        frames=results("{clip}/media/frames.zarr.zip"),
        landmarks=results("{clip}/face/landmarks.npz"),
        head_track=results("{clip}/face/head_track.npz"),
        transient_mask=results("{clip}/motion/transient_mask.zarr.zip"),
        split=results("{clip}/media/split.json"),
    output:
        head_pose=results("{clip}/face/head_pose.npz"),
    log:
        results("{clip}/logs/stabilize_head.log"),
    benchmark:
        results("{clip}/benchmarks/stabilize_head.tsv")
    conda:
        "../envs/wildtalker.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        code=code_of("face/stabilize_head"),
        options=stage_options(
            "face",
            "stabilizer",
            "pose_window_frames",
            "n_references",
            "n_skin_points",
            "n_compared",
        ),
    script:
        "../workflow_scripts/face/stabilize_head.py"


rule measure_expression:
    input:
        frames=results("{clip}/media/frames.zarr.zip"),
        landmarks=results("{clip}/face/landmarks.npz"),
        head_track=results("{clip}/face/head_track.npz"),
        split=results("{clip}/media/split.json"),
        weights=weights_of("face", "face_landmarker_path"),
    output:
        expression=results("{clip}/face/expression.npz"),
    log:
        results("{clip}/logs/measure_expression.log"),
    conda:
        "../envs/wildtalker.yaml"
    threads: 1
    resources:
        mem_mb=1500,
        runtime=30,
    params:
        raw=stamp_of(weights_of("face", "face_landmarker_path")),
        code=code_of("face/measure_expression"),
        options=stage_options("face", "face_landmarker_path"),
    script:
        "../workflow_scripts/face/measure_expression.py"
