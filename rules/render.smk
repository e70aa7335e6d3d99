from wildtalker_core.media.options import CodecOptions


rule render_portrait:
    input:
        unpack(scene_inputs),
        manifest=results("{clip}/media/manifest.json"),
        body_motion=results("{clip}/scene/body_motion.npz"),
        portrait=portrait_file,
        # The method's own speech for self_driven, the other recording's for drive_{name}.
        driving_features=driving_speech("audio_features.npz"),
        speech=driving_speech("speech.wav"),
    output:
        video=report(
            results("{clip}/render/{method}/{setting}.mp4"),
            category="Videos",
            subcategory="{clip}",
            labels={"method": "{method}", "setting": "{setting}"},
        ),
        facts=results("{clip}/render/{method}/{setting}.json"),
    log:
        results("{clip}/logs/render_portrait.{method}.{setting}.log"),
    benchmark:
        results("{clip}/benchmarks/render_portrait.{method}.{setting}.tsv")
    wildcard_constraints:
        method=any_of(nerf_methods()),
    conda:
        "../envs/wildtalker.yaml"
    threads: lambda wildcards: method_options(wildcards)["train"]["threads"]
    resources:
        mem_mb=3000,
        runtime=240,
        gpu=gpu(),
    params:
        code=code_of("render/render_portrait"),
        options=lambda wildcards: render_options(
            method_options(wildcards), wildcards.setting
        ),
    script:
        "../workflow_scripts/render/render_portrait.py"


rule render_baseline:
    input:
        # No baseline listens; a scene has sound all the same.
        **scene_files(results("{clip}"), "original.none"),
        manifest=results("{clip}/media/manifest.json"),
        speech=results("{clip}/media/speech.wav"),
        truth=truth_file("hand_free.mp4"),
    output:
        video=results("{clip}/render/{method}/self_driven.mp4"),
        facts=results("{clip}/render/{method}/self_driven.json"),
    log:
        results("{clip}/logs/render_baseline.{method}.log"),
    wildcard_constraints:
        method=any_of(configuration.BASELINES),
    conda:
        "../envs/wildtalker.yaml"
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        raw=stamp_of(truth_file("hand_free.mp4")),
        code=code_of("render/render_baseline"),
        options=stage_options("render", CodecOptions),
    script:
        "../workflow_scripts/render/render_baseline.py"


rule copy_external:
    input:
        external=external_video,
        scene=results("{clip}/scene/scene.npz"),
        manifest=results("{clip}/media/manifest.json"),
        driving_features=driving_speech("audio_features.npz"),
        speech=driving_speech("speech.wav"),
    output:
        video=results("{clip}/render/{method}/{setting}.mp4"),
        facts=results("{clip}/render/{method}/{setting}.json"),
    log:
        results("{clip}/logs/copy_external.{method}.{setting}.log"),
    wildcard_constraints:
        method=any_of(external_methods()),
    conda:
        "../envs/wildtalker.yaml"
    resources:
        mem_mb=3000,
        runtime=60,
    params:
        raw=stamp_of(external_video),
        code=code_of("render/copy_external"),
        options=stage_options("render", CodecOptions),
    script:
        "../workflow_scripts/render/copy_external.py"
