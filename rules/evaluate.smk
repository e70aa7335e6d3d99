from workflow_scripts.evaluate.options import ScoreOptions


rule score_render:
    input:
        video=results("{clip}/render/{method}/{setting}.mp4"),
        render=results("{clip}/render/{method}/{setting}.json"),
        manifest=results("{clip}/media/manifest.json"),
        scene=results("{clip}/scene/scene.npz"),
        # A spoiled clip's torso is where the clean one's is.
        parsing=lambda wildcards: results(
            f"{CLEAN_CLIP if is_spoiled(wildcards) else wildcards.clip}/person/parsing.zarr.zip"
        ),
        hand_free=results("{clip}/occlusion/hand_free.zarr.zip"),
        truth=truth_file("hand_free.mp4"),
        speech=lambda wildcards: (
            results("{clip}/speech/{setting}/clean_speech.wav")
            if is_driven(wildcards.setting)
            else results("{clip}/media/speech.wav")
        ).format(**wildcards),
        clean_speech=truth_file("clean_speech.flac"),
        training=training_figures,
        weights=weights_of(
            "evaluate", "lpips_weights", "syncnet_weights", "blendshape_model"
        ),
        tried=tried_weights("evaluate"),
        networks=MEDIAPIPE_NETWORKS,
    output:
        frames=results("{clip}/evaluate/{method}/{setting}.tsv"),
        video=results("{clip}/evaluate/{method}/{setting}.json"),
    log:
        results("{clip}/logs/score_render.{method}.{setting}.log"),
    benchmark:
        results("{clip}/benchmarks/score_render.{method}.{setting}.tsv")
    conda:
        "../envs/wildtalker.yaml"
    resources:
        mem_mb=3000,
        runtime=60,
    params:
        raw=stamp_of(
            truth_file("hand_free.mp4"),
            truth_file("clean_speech.flac"),
            weights_of(
                "evaluate", "lpips_weights", "syncnet_weights", "blendshape_model"
            ),
        ),
        code=code_of("evaluate/score_render"),
        options=stage_options("evaluate", ScoreOptions),
        seed=lambda wildcards: method_options(wildcards)["train"]["seed"],
        device=lambda wildcards: method_options(wildcards)["train"]["device"],
    script:
        "../workflow_scripts/evaluate/score_render.py"


rule score_speech:
    input:
        speech=results("{clip}/speech/{speech}.{denoiser}/speech.wav"),
        own_speech=results("{clip}/media/speech.wav"),
        manifest=results("{clip}/media/manifest.json"),
        truth=truth_file("clean_speech.flac"),
    output:
        scores=results("{clip}/evaluate/speech/{speech}.{denoiser}.json"),
    log:
        results("{clip}/logs/score_speech.{speech}.{denoiser}.log"),
    conda:
        "../envs/wildtalker.yaml"
    resources:
        mem_mb=1000,
        runtime=20,
    params:
        raw=stamp_of(truth_file("clean_speech.flac")),
        code=code_of("evaluate/score_speech"),
        options=stage_options("evaluate", "speech_seconds"),
    script:
        "../workflow_scripts/evaluate/score_speech.py"


# Real pairs of clean and noisy speech, one row of the table a job; see report/tabulate_pairs.
rule score_speech_pairs:
    input:
        clean=pairs_folder("clean"),
        noisy=pairs_folder("noisy"),
        external=pairs_external,
        weights=denoiser_weights("enhancer"),
    output:
        scores=results("report/speech_pairs/{enhancer}.tsv"),
    log:
        results("logs/score_speech_pairs.{enhancer}.log"),
    wildcard_constraints:
        enhancer=any_of([*PAIRS["denoisers"], *PAIRS["external"]]),
    conda:
        "../envs/wildtalker.yaml"
    # Files are scored in parallel, each on one thread.
    threads: 16
    resources:
        mem_mb=4000,
        runtime=120,
    params:
        raw=stamp_of(pairs_folder("clean"), pairs_folder("noisy"), pairs_external),
        code=code_of("evaluate/score_speech_pairs"),
        speech_options=lambda wildcards: denoiser_options(
            CONFIG["speech"], wildcards.enhancer
        ),
    script:
        "../workflow_scripts/evaluate/score_speech_pairs.py"


# On demand: `snakemake --cores 1 weights/syncnet_v2.model`; the registry lists what there is. All
# that a config names: `snakemake --cores 1 fetch_all --configfile ...`.
rule fetch_weights:
    output:
        # Kept apart from the results: removing those should not cost a download. `update`: nor
        # should a changed script; a file that is there is only proven again.
        weights=update("weights/{file}"),
    log:
        results("logs/fetch_weights.{file}.log"),
    wildcard_constraints:
        file=any_of(weight_inputs.REGISTRY),
    # Only where there is a cache: Snakemake would ask for one at each run.
    cache: "SNAKEMAKE_OUTPUT_CACHE" in os.environ
    localrule: True
    conda:
        "../envs/wildtalker.yaml"
    resources:
        mem_mb=500,
        runtime=60,
    params:
        # What the cache knows a file by: it looks at no wildcard.
        proof=lambda wildcards: [
            wildcards.file,
            weight_inputs.REGISTRY[wildcards.file].sha256,
        ],
    script:
        "../workflow_scripts/evaluate/fetch_weights.py"


# Weights that the results are better with and can do without: a run without network goes on, and
# says so. Fetched later (`weights/{file}`), they are used by the next run.
rule try_weights:
    input:
        # Not fetched twice where the config also asks for it.
        lambda wildcards: [
            path for path in all_weights() if path == f"weights/{wildcards.file}"
        ],
    output:
        # `update`: what it said last decides whether a file was given later.
        said=update(results("weights/{file}.json")),
    log:
        results("logs/try_weights.{file}.log"),
    wildcard_constraints:
        file=any_of(weight_inputs.REGISTRY),
    localrule: True
    conda:
        "../envs/wildtalker.yaml"
    resources:
        mem_mb=500,
        runtime=60,
    params:
        path=lambda wildcards: f"weights/{wildcards.file}",
        given_later=lambda wildcards: weight_inputs.was_given_later(
            wildcards.file, results(f"weights/{wildcards.file}.json")
        ),
    script:
        "../workflow_scripts/evaluate/try_weights.py"
