SCENE_INPUTS = [
    "scene",
    "audio_features",
    "frames",
    "hand_free",
    "parsing",
    "transient_mask",
]


rule train_head:
    input:
        scene=results("{clip}/scene/scene.npz"),
        audio_features=method_speech("audio_features.npz"),
        frames=results("{clip}/media/frames.zarr.zip"),
        hand_free=results("{clip}/motion/hand_free.zarr.zip"),
        parsing=results("{clip}/face/parsing.zarr.zip"),
        transient_mask=results("{clip}/motion/transient_mask.zarr.zip"),
    output:
        portrait=results("{clip}/train/{method}/head.safetensors"),
        figures=results("{clip}/train/{method}/head.json"),
    log:
        results("{clip}/logs/train_head.{method}.log"),
    benchmark:
        results("{clip}/benchmarks/train_head.{method}.tsv")
    conda:
        "../envs/wildtalker.yaml"
    threads: lambda wildcards: method_options(wildcards)["train"]["threads"]
    resources:
        mem_mb=6000,
        runtime=1440,
        gpu=gpu(),
    params:
        options=stage_options("train"),
        scene_inputs=SCENE_INPUTS,
    script:
        "../workflow_scripts/train/train_head.py"


rule finetune_lips:
    input:
        head=results("{clip}/train/{method}/head.safetensors"),
        scene=results("{clip}/scene/scene.npz"),
        audio_features=method_speech("audio_features.npz"),
        frames=results("{clip}/media/frames.zarr.zip"),
        hand_free=results("{clip}/motion/hand_free.zarr.zip"),
        parsing=results("{clip}/face/parsing.zarr.zip"),
        transient_mask=results("{clip}/motion/transient_mask.zarr.zip"),
    output:
        portrait=results("{clip}/train/{method}/lips.safetensors"),
        figures=results("{clip}/train/{method}/lips.json"),
    log:
        results("{clip}/logs/finetune_lips.{method}.log"),
    benchmark:
        results("{clip}/benchmarks/finetune_lips.{method}.tsv")
    conda:
        "../envs/wildtalker.yaml"
    threads: lambda wildcards: method_options(wildcards)["train"]["threads"]
    resources:
        mem_mb=6000,
        runtime=1440,
        gpu=gpu(),
    params:
        options=stage_options("train"),
        scene_inputs=SCENE_INPUTS,
    script:
        "../workflow_scripts/train/finetune_lips.py"


rule train_torso:
    input:
        lips=results("{clip}/train/{method}/lips.safetensors"),
        scene=results("{clip}/scene/scene.npz"),
        audio_features=method_speech("audio_features.npz"),
        frames=results("{clip}/media/frames.zarr.zip"),
        hand_free=results("{clip}/motion/hand_free.zarr.zip"),
        parsing=results("{clip}/face/parsing.zarr.zip"),
        transient_mask=results("{clip}/motion/transient_mask.zarr.zip"),
    output:
        portrait=results("{clip}/train/{method}/torso.safetensors"),
        figures=results("{clip}/train/{method}/torso.json"),
    log:
        results("{clip}/logs/train_torso.{method}.log"),
    benchmark:
        results("{clip}/benchmarks/train_torso.{method}.tsv")
    conda:
        "../envs/wildtalker.yaml"
    threads: lambda wildcards: method_options(wildcards)["train"]["threads"]
    resources:
        mem_mb=6000,
        runtime=1440,
        gpu=gpu(),
    params:
        options=stage_options("train"),
        scene_inputs=SCENE_INPUTS,
    script:
        "../workflow_scripts/train/train_torso.py"
