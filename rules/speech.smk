from wildtalker_core.speech.options import denoiser_options, feature_options


# {speech}: `original`, a name under `speech.corruptions`, or `drive_` and a name under `drive`.
wildcard_constraints:
    drive=any_of(CONFIG["drive"]),


rule corrupt_speech:
    input:
        speech=results("{clip}/media/speech.wav"),
        noise=corruption_noise,
        split=results("{clip}/media/split.json"),
    output:
        speech=results("{clip}/speech/{speech}/speech.wav"),
    log:
        results("{clip}/logs/corrupt_speech.{speech}.log"),
    wildcard_constraints:
        speech=any_of(["original", *CONFIG["speech"]["corruptions"]]),
    conda:
        "../envs/wildtalker.yaml"
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        raw=stamp_of(corruption_noise),
        code=code_of("speech/corrupt_speech"),
        corruption=lambda wildcards: CONFIG["speech"]["corruptions"].get(
            wildcards.speech, {}
        ),
    script:
        "../workflow_scripts/speech/corrupt_speech.py"


rule prepare_drive:
    input:
        sound=drive_sound,
        noise=drive_noise,
    output:
        speech=results("{clip}/speech/drive_{drive}/speech.wav"),
        clean=results("{clip}/speech/drive_{drive}/clean_speech.wav"),
    log:
        results("{clip}/logs/prepare_drive.{drive}.log"),
    conda:
        "../envs/wildtalker.yaml"
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        raw=stamp_of(drive_sound, drive_noise),
        code=code_of("speech/prepare_drive"),
        sample_rate_hz=lambda wildcards: CONFIG["media"]["sample_rate_hz"],
        corruption=drive_corruption,
    script:
        "../workflow_scripts/speech/prepare_drive.py"


rule denoise_speech:
    input:
        speech=results("{clip}/speech/{speech}/speech.wav"),
        external=external_speech,
        split=own_split,
        weights=denoiser_weights("denoiser"),
    output:
        speech=results("{clip}/speech/{speech}.{denoiser}/speech.wav"),
    log:
        results("{clip}/logs/denoise_speech.{speech}.{denoiser}.log"),
    benchmark:
        results("{clip}/benchmarks/denoise_speech.{speech}.{denoiser}.tsv")
    conda:
        "../envs/wildtalker.yaml"
    resources:
        mem_mb=1000,
        runtime=20,
    params:
        raw=stamp_of(external_speech),
        code=code_of("speech/denoise_speech"),
        options=lambda wildcards: denoiser_options(
            clip_config(wildcards)["speech"], wildcards.denoiser
        ),
    script:
        "../workflow_scripts/speech/denoise_speech.py"


rule extract_audio_features:
    input:
        speech=results("{clip}/speech/{speech}.{denoiser}/speech.wav"),
        raw=results("{clip}/speech/{speech}/speech.wav"),
        manifest=results("{clip}/media/manifest.json"),
        split=own_split,
        weights=weights_of("speech", "whisper_model", "hf_model", "deepspeech_model"),
        tried=tried_weights("speech"),
        denoiser=denoiser_weights("denoiser"),
    output:
        features=results("{clip}/speech/{speech}.{denoiser}/audio_features.npz"),
    log:
        results("{clip}/logs/extract_audio_features.{speech}.{denoiser}.log"),
    conda:
        "../envs/wildtalker.yaml"
    resources:
        # An encoder and a thousand features of 16 steps for each frame take more.
        mem_mb={"logmel": 2000, "auto": 4000, "whisper": 4000}.get(
            CONFIG["speech"]["audio_features"], 8000
        ),
        runtime=20 if CONFIG["speech"]["audio_features"] == "logmel" else 120,
    params:
        raw=stamp_of(
            weights_of("speech", "whisper_model", "hf_model", "deepspeech_model")
        ),
        code=code_of("speech/extract_audio_features"),
        options=lambda wildcards: feature_options(
            clip_config(wildcards)["speech"],
            wildcards.denoiser,
            is_own=not wildcards.speech.startswith("drive_"),
        ),
    script:
        "../workflow_scripts/speech/extract_audio_features.py"


# On demand: `snakemake --cores 1 denoise --config denoise="{talk: talk.wav}"`.
rule denoise:
    input:
        sounds=list(CONFIG["denoise"].values()),
        weights=weights_of("speech", "deepfilternet_model"),
    output:
        sounds=[
            results(f"denoised/{name}.{CONFIG['speech']['denoiser']}.wav")
            for name in CONFIG["denoise"]
        ],
    log:
        results("logs/denoise.log"),
    conda:
        "../envs/wildtalker.yaml"
    resources:
        mem_mb=1000,
        runtime=60,
    params:
        raw=stamp_of(list(CONFIG["denoise"].values())),
        code=code_of("speech/denoise"),
        denoiser=lambda wildcards: CONFIG["speech"]["denoiser"],
        options=lambda wildcards: denoiser_options(
            CONFIG["speech"], CONFIG["speech"]["denoiser"]
        ),
    script:
        "../workflow_scripts/speech/denoise.py"
