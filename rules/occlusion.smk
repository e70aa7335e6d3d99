from wildtalker_core.occlusion.options import FlowOptions, MaskOptions, RemovalOptions


# {occlusion}: `occlusion` is the run's section of that name, which everything shared is made with (head
# poses, the reference that is scored against); `occlusion.{method}` that of a method of its own, and of
# others with the same.
rule estimate_flow:
    input:
        frames=results("{clip}/media/frames.zarr.zip"),
        parsing=results("{clip}/person/parsing.zarr.zip"),
        landmarks=results("{clip}/person/landmarks.npz"),
        split=results("{clip}/media/split.json"),
        weights=weights_of("occlusion", "flow_weights_path"),
    output:
        flow_magnitude=temp(results("{clip}/{occlusion}/flow_magnitude.zarr.zip")),
        rigid_motion=results("{clip}/{occlusion}/rigid_motion.npz"),
    log:
        results("{clip}/logs/estimate_flow.{occlusion}.log"),
    benchmark:
        results("{clip}/benchmarks/estimate_flow.{occlusion}.tsv")
    conda:
        "../envs/wildtalker.yaml"
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        raw=stamp_of(weights_of("occlusion", "flow_weights_path")),
        code=code_of("occlusion/estimate_flow"),
        options=stage_options("occlusion", FlowOptions),
    script:
        "../workflow_scripts/occlusion/estimate_flow.py"


rule accumulate_transient_masks:
    input:
        frames=results("{clip}/media/frames.zarr.zip"),
        flow_magnitude=results("{clip}/{occlusion}/flow_magnitude.zarr.zip"),
        rigid_motion=results("{clip}/{occlusion}/rigid_motion.npz"),
        parsing=results("{clip}/person/parsing.zarr.zip"),
        manifest=results("{clip}/media/manifest.json"),
        split=results("{clip}/media/split.json"),
    output:
        transient_mask=results("{clip}/{occlusion}/transient_mask.zarr.zip"),
    log:
        results("{clip}/logs/accumulate_transient_masks.{occlusion}.log"),
    benchmark:
        results("{clip}/benchmarks/accumulate_transient_masks.{occlusion}.tsv")
    conda:
        "../envs/wildtalker.yaml"
    resources:
        mem_mb=1500,
        runtime=30,
    params:
        code=code_of("occlusion/accumulate_transient_masks"),
        options=stage_options("occlusion", MaskOptions),
    script:
        "../workflow_scripts/occlusion/accumulate_transient_masks.py"


rule remove_hands:
    input:
        frames=results("{clip}/media/frames.zarr.zip"),
        parsing=results("{clip}/person/parsing.zarr.zip"),
        transient_mask=results("{clip}/{occlusion}/transient_mask.zarr.zip"),
        split=results("{clip}/media/split.json"),
        weights=weights_of("occlusion", "lama_weights_path"),
    output:
        hand_free=results("{clip}/{occlusion}/hand_free.zarr.zip"),
    log:
        results("{clip}/logs/remove_hands.{occlusion}.log"),
    benchmark:
        results("{clip}/benchmarks/remove_hands.{occlusion}.tsv")
    conda:
        "../envs/wildtalker.yaml"
    resources:
        mem_mb=2000,
        runtime=120,
    params:
        raw=stamp_of(weights_of("occlusion", "lama_weights_path")),
        code=code_of("occlusion/remove_hands"),
        options=stage_options("occlusion", RemovalOptions),
    script:
        "../workflow_scripts/occlusion/remove_hands.py"


rule draw_overlays:
    input:
        frames=results("{clip}/media/frames.zarr.zip"),
        parsing=results("{clip}/person/parsing.zarr.zip"),
        flow_magnitude=results("{clip}/{occlusion}/flow_magnitude.zarr.zip"),
        transient_mask=results("{clip}/{occlusion}/transient_mask.zarr.zip"),
        hand_free=results("{clip}/{occlusion}/hand_free.zarr.zip"),
    output:
        overlay=results("{clip}/{occlusion}/overlay.png"),
    log:
        results("{clip}/logs/draw_overlays.{occlusion}.log"),
    conda:
        "../envs/wildtalker.yaml"
    resources:
        mem_mb=1000,
        runtime=5,
    params:
        code=code_of("occlusion/draw_overlays"),
    script:
        "../workflow_scripts/occlusion/draw_overlays.py"
