"""Where rules find their inputs: speech, scenes, truth, weights."""

from wildtalker_core.errors import InputError
from workflow_scripts import shared_heads, weight_inputs
from workflow_scripts.scene_inputs import scene_files


def clip_path(wildcards):
    if wildcards.clip == CLEAN_CLIP:
        return ROBUSTNESS["path"]
    return CONFIG["clips"][wildcards.clip]["path"]


def clip_sound(wildcards):
    """The file that a clip's sound is in."""
    if wildcards.clip == CLEAN_CLIP and ROBUSTNESS["sound"]:
        return ROBUSTNESS["sound"]
    return clip_path(wildcards)


def method_speech(name):
    """Input function: a file of the speech that the method is trained on, as it denoises it."""
    return lambda wildcards: speech_file(wildcards, None, name)


def driving_speech(name):
    """Input function: a file of the speech that is spoken: the method's own, or the drive's."""
    return lambda wildcards: speech_file(
        wildcards,
        wildcards.setting if wildcards.setting.startswith("drive_") else None,
        name,
    )


def heard_speech(wildcards, speech=None):
    """Folder of ``speech`` (None: the method's source) as the method denoises it."""
    options = method_options(wildcards)["speech"]
    return f"{speech or options['source']}.{options['denoiser']}"


def speech_file(wildcards, speech, name):
    """A file of ``speech`` (None: the method's source) as the method denoises it."""
    return results(f"{wildcards.clip}/speech/{heard_speech(wildcards, speech)}/{name}")


def scene_inputs(wildcards):
    """Input function: the files of a method's scene."""
    return scene_files(results(wildcards.clip), heard_speech(wildcards))


def head_owner(wildcards):
    """The method whose head and lips this one's torso is trained under: often its own."""
    views = {name: method_options(wildcards, name) for name in nerf_methods()}
    return shared_heads.head_owner(wildcards.method, views)


def training_figures(wildcards):
    """Input function: what the training of a method took, wherever its head was trained."""
    if wildcards.method not in nerf_methods():
        return []
    folder = results(f"{wildcards.clip}/train")
    owner = head_owner(wildcards)
    return [
        f"{folder}/{owner}/head.json",
        f"{folder}/{owner}/lips.json",
        f"{folder}/{wildcards.method}/torso.json",
    ]


def truth_file(name):
    """Input function: a file of the clip's truth; nothing where the clip has none.

    The truth of a spoiled clip is what the clean one showed and said.
    """
    clean = {
        "hand_free.mp4": results(f"{CLEAN_CLIP}/media/frames.zarr.zip"),
        "clean_speech.flac": results(f"{CLEAN_CLIP}/media/speech.wav"),
    }

    def file_of(wildcards):
        if wildcards.clip == CLEAN_CLIP and name == "clean_speech.flac":
            return []  # its own speech is clean
        if is_spoiled(wildcards):
            return clean[name]
        clip = CONFIG["clips"][wildcards.clip]
        return f"{clip['truth']}/{name}" if "truth" in clip else []

    return file_of


def weights_of(stage, *keys):
    """Input function: the weights files that these entries of a stage name, as far as it uses them.

    Those under weights/ are fetched if they are not there.
    """
    options = stage_options(stage)
    return lambda wildcards: weight_inputs.weight_inputs(
        stage, options(wildcards), *keys
    )


def denoiser_weights(name):
    """Input function: the weights of the denoiser that the wildcard ``name`` has, if any."""
    return lambda wildcards: weight_inputs.weight_inputs(
        "speech",
        {**CONFIG["speech"], "denoiser": wildcards[name]},
        "deepfilternet_model",
    )


def tried_weights(stage):
    """Input function: what became of the weights that a stage uses where they can be had."""
    options = stage_options(stage)
    return lambda wildcards: [
        results(f"weights/{file}.json")
        for file in weight_inputs.IS_TRIED[stage](options(wildcards))
    ]


def sections_with_weights():
    """(stage, section) of the whole config, and of each trained method."""
    sections = [(stage, CONFIG[stage]) for stage in configuration.STAGES]
    denoisers = {method_view(name)["speech"]["denoiser"] for name in nerf_methods()}
    sections += [
        ("speech", {**CONFIG["speech"], "denoiser": name})
        for name in sorted({*denoisers, *CONFIG["report"]["denoisers"]})
    ]
    sections += [("train", method_view(method)["train"]) for method in nerf_methods()]
    if robustness_clips():
        sections += [
            (stage, SPOILED_CONFIG[stage]) for stage in configuration.ROBUSTNESS_STAGES
        ]
        trained = [name for name in robustness_methods() if name in nerf_methods()]
        sections += [
            ("train", method_view(name, for_spoiled=True)["train"]) for name in trained
        ]
    return sections


def check_weights():
    """Weights that the config names must exist, or be in the registry, before anything starts."""
    for stage, options in sections_with_weights():
        weight_inputs.check_present(stage, options)


def all_weights():
    """Every weights file that the config names and uses."""
    return sorted(
        {
            path
            for stage, options in sections_with_weights()
            for known_stage, key in weight_inputs.IS_USED
            if known_stage == stage
            for path in weight_inputs.weight_inputs(stage, options, key)
        }
    )


def all_tried_weights():
    """What became of every file that the config uses where it can be had."""
    files = {
        file
        for stage, options in sections_with_weights()
        for file in weight_inputs.IS_TRIED.get(stage, lambda options: [])(options)
    }
    return [results(f"weights/{file}.json") for file in sorted(files)]


def check_paths():
    """Files that the config names must exist before anything starts."""
    named = [
        (f"clips.{name}.path", clip["path"]) for name, clip in CONFIG["clips"].items()
    ]
    named += [
        (f"clips.{name}.truth", clip["truth"])
        for name, clip in CONFIG["clips"].items()
        if "truth" in clip
    ]
    named += [
        (f"drive.{name}", drive["path"]) for name, drive in CONFIG["drive"].items()
    ]
    named += [
        (f"methods.{name}.path", method["path"])
        for name, method in CONFIG["methods"].items()
        if "path" in method
    ]
    # Not left to copy_external, which runs when everything else is done.
    named += [
        (f"methods.{name}.path", f"{method['path']}/{clip}/{setting}.mp4")
        for name, method in CONFIG["methods"].items()
        if "path" in method
        for clip in CONFIG["clips"]
        for setting in settings()
        if name in shown_methods(clip, setting)
    ]
    named += [
        (f"robustness.{key}", ROBUSTNESS[key])
        for key in ("path", "sound", "noise_path")
        if ROBUSTNESS["path"] and ROBUSTNESS[key]
    ]
    named += [
        (
            f"methods.{name}.path",
            f"{CONFIG['methods'][name]['path']}/{clip}/self_driven.mp4",
        )
        for clip in robustness_clips()
        for name in robustness_methods()
        if name in external_methods()
    ]
    for key, path in named:
        if not Path(path).exists():
            raise InputError(path, f"does not exist (config {key})", "correct the path")


or_workflow_error(check_paths)
or_workflow_error(check_weights)
