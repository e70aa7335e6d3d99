"""Where rules find their inputs: speech, scenes, truth, weights."""

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


def corruption_noise(wildcards):
    """The recorded noise of a corruption; nothing where it is made here."""
    corruption = CONFIG["speech"]["corruptions"].get(wildcards.speech, {})
    return corruption.get("noise_path", [])


def drive_sound(wildcards):
    return CONFIG["drive"][wildcards.drive]["path"]


def drive_noise(wildcards):
    return drive_corruption(wildcards).get("noise_path", [])


def external_speech(wildcards):
    """Speech that was denoised elsewhere."""
    if wildcards.denoiser != "external":
        return []
    folder = CONFIG["speech"]["external_dir"]
    return f"{folder}/{wildcards.clip}/{wildcards.speech}.wav"


def external_video(wildcards):
    folder = CONFIG["methods"][wildcards.method]["path"]
    return f"{folder}/{wildcards.clip}/{wildcards.setting}.mp4"


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


PAIRS = CONFIG["evaluate"]["speech_pairs"]


def pairs_folder(kind):
    """Folder of the `clean` or the `noisy` files; nothing where the config names none."""
    whole = PAIRS["pairs_dir"]
    return PAIRS[f"{kind}_dir"] or (f"{whole}/{kind}_testset_wav" if whole else [])


def pairs_external(wildcards):
    return PAIRS["external"].get(wildcards.enhancer, [])


def weights_of(stage, *keys):
    """Input function: the weights files that these entries of a stage name, as far as it uses them.

    Those under weights/ are fetched if they are not there.
    """
    options = stage_options(stage)
    return lambda wildcards: weight_inputs.weight_inputs(
        stage, options(wildcards), *keys
    )


def sections_with_weights():
    """(stage, section) of the whole config, and of each trained method."""
    sections = [(stage, CONFIG[stage]) for stage in configuration.STAGES]
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


def named_files():
    """(entry of the config, file, whether it is a folder) of all that comes from outside."""
    for name, clip in CONFIG["clips"].items():
        yield f"clips.{name}.path", clip["path"], False
        if "truth" in clip:
            yield f"clips.{name}.truth", clip["truth"], True
    for name, drive in CONFIG["drive"].items():
        yield f"drive.{name}", drive["path"], False
    for name, path in CONFIG["denoise"].items():
        yield f"denoise.{name}", path, False
    for name, corruption in CONFIG["speech"]["corruptions"].items():
        if "noise_path" in corruption:
            yield f"speech.corruptions.{name}.noise_path", corruption[
                "noise_path"
            ], False
    for name in external_methods():
        path = CONFIG["methods"][name]["path"]
        yield f"methods.{name}.path", path, True
        # Not left to copy_external, which runs when everything else is done.
        for clip in CONFIG["clips"]:
            for setting in settings():
                if name in shown_methods(clip, setting):
                    yield f"methods.{name}.path", f"{path}/{clip}/{setting}.mp4", False
        if name in robustness_methods():
            for clip in robustness_clips():
                yield f"methods.{name}.path", f"{path}/{clip}/self_driven.mp4", False
    for key in ("path", "sound", "noise_path"):
        if ROBUSTNESS["path"] and ROBUSTNESS[key]:
            yield f"robustness.{key}", ROBUSTNESS[key], False


def check_paths():
    """Files that the config names must be there before anything starts."""
    for key, path, is_folder in named_files():
        raw_inputs.require(key, path, is_folder)


or_workflow_error(check_paths)
or_workflow_error(check_weights)
