rule extract_frames:
    input:
        video=clip_path,
    output:
        frames=results("{clip}/media/frames.zarr.zip"),
        manifest=results("{clip}/media/manifest.json"),
    log:
        results("{clip}/logs/extract_frames.log"),
    benchmark:
        results("{clip}/benchmarks/extract_frames.tsv")
    conda:
        "../envs/wildtalker.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        code=code_digest("media"),
        options=stage_options("media"),
    script:
        "../workflow_scripts/media/extract_frames.py"


rule extract_speech:
    input:
        video=clip_path,
        manifest=results("{clip}/media/manifest.json"),
    output:
        speech=results("{clip}/media/speech.wav"),
        facts=results("{clip}/media/speech.json"),
    log:
        results("{clip}/logs/extract_speech.log"),
    conda:
        "../envs/wildtalker.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        code=code_digest("media"),
    script:
        "../workflow_scripts/media/extract_speech.py"
