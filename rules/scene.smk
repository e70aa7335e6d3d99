from wildtalker_core.scene.options import BoxOptions


rule assemble_scene:
    input:
        manifest=results("{clip}/media/manifest.json"),
        split=results("{clip}/media/split.json"),
        landmarks=results("{clip}/person/landmarks.npz"),
        head_pose=results("{clip}/pose/head_pose.npz"),
        expression=results("{clip}/pose/expression.npz"),
        background=results("{clip}/person/background.png"),
        frames=results("{clip}/media/frames.zarr.zip"),
        parsing=results("{clip}/person/parsing.zarr.zip"),
        transient_mask=results("{clip}/occlusion/transient_mask.zarr.zip"),
        hand_free=results("{clip}/occlusion/hand_free.zarr.zip"),
    output:
        scene=results("{clip}/scene/scene.npz"),
    log:
        results("{clip}/logs/assemble_scene.log"),
    conda:
        "../envs/wildtalker.yaml"
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        code=code_of("scene/assemble_scene"),
        options=stage_options("scene", BoxOptions),
    script:
        "../workflow_scripts/scene/assemble_scene.py"


rule register_body:
    input:
        **scene_files(results("{clip}"), "original.none"),
        head_pose=results("{clip}/pose/head_pose.npz"),
    output:
        body_motion=results("{clip}/scene/body_motion.npz"),
    log:
        results("{clip}/logs/register_body.log"),
    benchmark:
        results("{clip}/benchmarks/register_body.tsv")
    conda:
        "../envs/wildtalker.yaml"
    resources:
        mem_mb=1500,
        runtime=60,
    params:
        code=code_of("scene/register_body"),
        options=stage_options("scene", "torso_soft_components"),
    script:
        "../workflow_scripts/scene/register_body.py"
