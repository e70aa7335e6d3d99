from wildtalker_core.pose.options import StabilizerOptions


rule stabilize_head:
    input:
        frames=results("{clip}/media/frames.zarr.zip"),
        landmarks=results("{clip}/person/landmarks.npz"),
        head_track=results("{clip}/person/head_track.npz"),
        transient_mask=results("{clip}/occlusion/transient_mask.zarr.zip"),
        split=results("{clip}/media/split.json"),
    output:
        head_pose=results("{clip}/pose/head_pose.npz"),
    log:
        results("{clip}/logs/stabilize_head.log"),
    benchmark:
        results("{clip}/benchmarks/stabilize_head.tsv")
    conda:
        "../envs/wildtalker.yaml"
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        code=code_of("pose/stabilize_head"),
        options=stage_options("pose", StabilizerOptions),
    script:
        "../workflow_scripts/pose/stabilize_head.py"


rule measure_expression:
    input:
        frames=results("{clip}/media/frames.zarr.zip"),
        landmarks=results("{clip}/person/landmarks.npz"),
        head_track=results("{clip}/person/head_track.npz"),
        split=results("{clip}/media/split.json"),
        weights=weights_of("pose", "face_landmarker_path"),
    output:
        expression=results("{clip}/pose/expression.npz"),
    log:
        results("{clip}/logs/measure_expression.log"),
    conda:
        "../envs/wildtalker.yaml"
    resources:
        mem_mb=1500,
        runtime=30,
    params:
        raw=stamp_of(weights_of("pose", "face_landmarker_path")),
        code=code_of("pose/measure_expression"),
        options=stage_options("pose", "face_landmarker_path"),
    script:
        "../workflow_scripts/pose/measure_expression.py"
