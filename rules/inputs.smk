"""Where rules find their inputs: speech, scenes, truth, weights."""

from wildtalker_core.pretrained import mediapipe_files
from workflow_scripts import shared_heads, weight_inputs
from workflow_scripts.scene_inputs import scene_files

# What finds faces, hands and bodies, where no package brings it.
MEDIAPIPE_NETWORKS = ancient(mediapipe_files.wheel_needed())


def clip_path(wildcards):
    if wildcards.clip == CLEAN_CLIP:
        return ROBUSTNESS["path"]
    return CONFIG["clips"][wildcards.clip]["path"]


def clip_sound(wildcards):
    """The file that a clip's sound is in."""
    if wildcards.clip == CLEAN_CLIP and ROBUSTNESS["sound"]:
        return ROBUSTNESS["sound"]
    return clip_path(wildcards)


def own_split(wildcards):
    """The clip's split, for its own speech; nothing for a speech that drives."""
    if wildcards.speech.startswith("drive_"):
        return []
    return results(f"{wildcards.clip}/media/split.json")


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
    return finished_video(wildcards.method, wildcards.clip, wildcards.setting)


def method_speech(name):
    """Input function: a file of the speech that the method is trained on, as it denoises it."""
    return lambda wildcards: speech_file(wildcards, None, name)


def driving_speech(name):
    """Input function: a file of the speech that is spoken: the method's own or that corrupted, or
    the drive's."""

    def file_of(wildcards):
        setting = wildcards.setting
        heard = setting if is_driven(setting) else corruption_of(setting)
        return speech_file(wildcards, heard, name)

    return file_of


def finished_video(method, clip, setting):
    """Where a method outside has its video: its head is what its whole video shows."""
    name = setting
    if is_head(setting):
        corruption = corruption_of(setting)
        name = f"self_driven_{corruption}" if corruption else "self_driven"
    return f"{CONFIG['methods'][method]['path']}/{clip}/{name}.mp4"


def heard_speech(wildcards, speech=None):
    """Folder of ``speech`` (None: the method's source) as the method denoises it."""
    options = method_options(wildcards)["speech"]
    return f"{speech or options['source']}.{options['denoiser']}"


def speech_file(wildcards, speech, name):
    """A file of ``speech`` (None: the method's source) as the method denoises it."""
    return results(f"{wildcards.clip}/speech/{heard_speech(wildcards, speech)}/{name}")


def scene_inputs(wildcards):
    """Input function: the files of a method's scene."""
    occlusion = occlusion_folder(wildcards.method, is_spoiled(wildcards))
    return scene_files(results(wildcards.clip), heard_speech(wildcards), occlusion)


def head_owner(wildcards):
    """The method whose head and lips this one's torso is trained under: often its own."""
    views = {
        name: method_options(wildcards, name)
        for name in nerf_methods()
        if renderer_of(wildcards, name) == "field"
    }
    return shared_heads.head_owner(wildcards.method, views)


def renderer_of(wildcards, method=None):
    """What draws a method's portrait, ``field`` or ``splats``: the one place that asks."""
    return method_options(wildcards, method)["train"]["renderer"]


def portrait_file(wildcards, method=None):
    """Input function: the whole portrait of the method of ``wildcards``, or of another."""
    name = {"field": "torso", "splats": "splats"}[renderer_of(wildcards, method)]
    method = method or wildcards.method
    return results(f"{wildcards.clip}/train/{method}/{name}.safetensors")


def training_figures(wildcards):
    """Input function: what the training of a method took, wherever its head was trained."""
    if wildcards.method not in nerf_methods():
        return []
    folder = results(f"{wildcards.clip}/train")
    if renderer_of(wildcards) == "splats":
        return [f"{folder}/{wildcards.method}/splats.json"]
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
    views = [method_view(name) for name in nerf_methods()]
    denoisers = {view["speech"]["denoiser"] for view in views}
    sections += [
        ("speech", {**CONFIG["speech"], "denoiser": name})
        for name in sorted({*denoisers, *CONFIG["report"]["denoisers"]})
    ]
    sections += [
        (stage, view[stage]) for view in views for stage in ("occlusion", "train")
    ]
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
                    video = finished_video(name, clip, setting)
                    yield f"methods.{name}.path", video, False
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


# What a module is given, a rule of the workflow that uses it may make.
if not IS_MODULE:
    or_workflow_error(check_paths)
or_workflow_error(check_weights)
