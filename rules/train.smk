from wildtalker_core.mouth.options import SpeakingOptions
from wildtalker_core.speech.options import portrait_options


rule train_head:
    input:
        unpack(scene_inputs),
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
        options=train_options("head"),
        accompanying=accompanying_options("head"),
    script:
        "../workflow_scripts/train/train_head.py"


rule finetune_lips:
    input:
        unpack(scene_inputs),
        head=results("{clip}/train/{method}/head.safetensors"),
        # Fetched anew it is the same file, which should not cost hours.
        weights=ancient(weights_of("train", "lpips_backbone")),
        tried=tried_weights("train"),
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
        raw=stamp_of(weights_of("train", "lpips_backbone")),
        options=train_options("lips"),
        accompanying=accompanying_options("lips"),
    script:
        "../workflow_scripts/train/finetune_lips.py"


rule train_torso:
    input:
        unpack(scene_inputs),
        body_motion=results("{clip}/scene/body_motion.npz"),
        lips=lambda wildcards: results(
            f"{wildcards.clip}/train/{head_owner(wildcards)}/lips.safetensors"
        ),
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
        options=train_options("torso"),
        accompanying=accompanying_options("torso"),
        head_of=head_owner,
    script:
        "../workflow_scripts/train/train_torso.py"


rule train_splats:
    input:
        unpack(scene_inputs),
        body_motion=results("{clip}/scene/body_motion.npz"),
        weights=ancient(weights_of("train", "lpips_backbone")),
        tried=tried_weights("train"),
    output:
        portrait=results("{clip}/train/{method}/splats.safetensors"),
        figures=results("{clip}/train/{method}/splats.json"),
    log:
        results("{clip}/logs/train_splats.{method}.log"),
    benchmark:
        results("{clip}/benchmarks/train_splats.{method}.tsv")
    conda:
        "../envs/wildtalker.yaml"
    threads: lambda wildcards: method_options(wildcards)["train"]["threads"]
    resources:
        mem_mb=3000,
        runtime=240,
        gpu=gpu(),
    params:
        raw=stamp_of(weights_of("train", "lpips_backbone")),
        options=train_options("splats"),
        accompanying=accompanying_options("splats"),
    script:
        "../workflow_scripts/train/train_splats.py"


rule pack_portrait:
    input:
        unpack(scene_inputs),
        manifest=results("{clip}/media/manifest.json"),
        body_motion=results("{clip}/scene/body_motion.npz"),
        portrait=results("{clip}/train/{method}/splats.safetensors"),
        video=clip_path,
        speech=method_speech("speech.wav"),
        raw=lambda wildcards: results(
            f"{wildcards.clip}/speech/{method_options(wildcards)['speech']['source']}/speech.wav"
        ),
        split=results("{clip}/media/split.json"),
        weights=ancient(weights_of("speech", "whisper_model", "deepfilternet_model")),
        tried=tried_weights("speech"),
    output:
        portrait=results("{clip}/train/{method}/me.portrait"),
    log:
        results("{clip}/logs/pack_portrait.{method}.log"),
    conda:
        "../envs/wildtalker.yaml"
    resources:
        mem_mb=3000,
        runtime=30,
    params:
        code=code_of("train/pack_portrait"),
        raw=stamp_of(clip_path),
        options=lambda wildcards: {
            "train": train_options("splats")(wildcards),
            "speech": portrait_options(method_options(wildcards)["speech"]),
            "render": stage_options("render", SpeakingOptions)(wildcards),
        },
        clip=lambda wildcards: {
            key: CONFIG["clips"].get(wildcards.clip, {}).get(key)
            for key in ("consent", "licence")
        },
    script:
        "../workflow_scripts/train/pack_portrait.py"
