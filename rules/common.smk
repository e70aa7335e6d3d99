"""Paths, options and code digests for the rule files."""

import functools
import hashlib
import shutil
from pathlib import Path

from snakemake.exceptions import WorkflowError

# Rule scripts run in processes of their own; they find the packages beside the Snakefile.
os.environ.update(
    PYTHONPATH=os.pathsep.join(
        [workflow.basedir, *filter(None, [os.environ.get("PYTHONPATH")])]
    )
)
sys.path.insert(0, workflow.basedir)

from wildtalker_core.errors import InputError
from workflow_scripts import configuration, shared_heads, weight_inputs
from workflow_scripts.scene_inputs import scene_files

ROOT = Path(workflow.basedir)
USER_CONFIG = dict(config)


def or_workflow_error(function, *args):
    """Call ``function``; a user's error becomes Snakemake's own one-line error."""
    try:
        return function(*args)
    except InputError as error:
        raise WorkflowError(str(error)) from None


CONFIG = or_workflow_error(configuration.complete_config, USER_CONFIG, ROOT / "config")

# The clips of the robustness benchmark have a config of their own, and are in no other table.
ROBUSTNESS = CONFIG["robustness"]
SPOILED_USER_CONFIG = configuration.robustness_config(USER_CONFIG)
SPOILED_CONFIG = or_workflow_error(
    configuration.complete_config, SPOILED_USER_CONFIG, ROOT / "config"
)
CLEAN_CLIP = "spoiled_0"


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


def results(pattern):
    """Path under the results folder; wildcards stay."""
    return f"{CONFIG['results_dir']}/{pattern}"


def code_digest(*packages):
    """Params entry: digest of core packages' sources, since Snakemake sees only the scripts.

    A changed digest makes the output stale. Training leaves it out on purpose, since an edited
    comment should not cost hours; remove the output, or --forcerun, to train anew.
    """
    folders = [ROOT / "wildtalker_core" / package for package in packages]
    files = [path for folder in folders for path in sorted(folder.glob("*.py"))]
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in files))
    return digest.hexdigest()[:12]


def clips():
    return list(CONFIG["clips"])


def robustness_clips():
    """Clips of the robustness benchmark and their strengths, percent."""
    strengths = sorted(ROBUSTNESS["strengths"]) if ROBUSTNESS["path"] else []
    return {f"spoiled_{strength}": strength for strength in strengths}


def strongest_clip():
    """The clip of the largest strength, as a list of one; or none."""
    return list(robustness_clips())[-1:]


def robustness_methods():
    """Methods that take part in the benchmark."""
    named = ROBUSTNESS["methods"]
    return nerf_methods() if named is None else named


def is_spoiled(wildcards):
    """Whether this is a clip of the robustness benchmark."""
    clip = getattr(wildcards, "clip", None)
    return clip == CLEAN_CLIP or clip in robustness_clips()


def all_methods():
    """Methods that the config names, in its order."""
    return list(CONFIG["methods"])


def nerf_methods():
    """Methods that are trained here."""
    return [name for name in all_methods() if CONFIG["methods"][name]["kind"] == "nerf"]


def external_methods():
    return [
        name for name in all_methods() if CONFIG["methods"][name]["kind"] == "external"
    ]


def table_methods():
    """Rows of the tables: the ground truth, the trivial baselines, then the config's methods."""
    return [*configuration.BASELINES, *all_methods()]


def settings():
    """What is rendered of each method: the test split, and each driving speech."""
    return ["self_driven", *(f"drive_{name}" for name in CONFIG["drive"])]


def shown_methods(clip, setting):
    """Rows of a setting: nothing but trained and external methods speak what was never filmed."""
    if clip in robustness_clips():
        return ["ground_truth", *robustness_methods()]
    if setting == "self_driven":
        named = CONFIG["report"]["table1"]
        return [*configuration.BASELINES, *(named or all_methods())]
    return CONFIG["report"]["table2"] or all_methods()


def truth_clip(wildcards):
    """The clip whose ground truth is rendered: once for all strengths of the benchmark."""
    return list(robustness_clips())[0] if is_spoiled(wildcards) else wildcards.clip


def clip_config(wildcards):
    """The completed config that the clip of ``wildcards`` is made with."""
    return SPOILED_CONFIG if is_spoiled(wildcards) else CONFIG


def ceiling_methods():
    """Methods that are also scored on frames they were trained on: the first that is trained."""
    return nerf_methods()[:1] if CONFIG["evaluate"]["has_ceiling"] else []


def corrupted_settings():
    """Settings whose driving speech has noise mixed in."""
    return [
        f"drive_{name}"
        for name, drive in CONFIG["drive"].items()
        if drive["corruption"]
    ]


def drive_corruption(wildcards):
    """The noise that is mixed into a driving speech: an entry of speech.corruptions, or {}."""
    name = CONFIG["drive"][wildcards.drive]["corruption"]
    return CONFIG["speech"]["corruptions"][name] if name else {}


@functools.cache
def method_view(method, for_spoiled=False):
    """All config sections as a method sees them. A plan asks thousands of times for a few."""
    configs = (
        (SPOILED_USER_CONFIG, SPOILED_CONFIG) if for_spoiled else (USER_CONFIG, CONFIG)
    )
    return configuration.method_view(*configs, method, ROOT / "config")


def method_options(wildcards, method=None):
    """All config sections as the method of ``wildcards``, or another, sees them."""
    return method_view(method or wildcards.method, is_spoiled(wildcards))


def stage_options(stage):
    """Params function: the stage's section, with the method's overlay where there is a method."""
    return lambda wildcards: (
        method_options(wildcards)[stage]
        if hasattr(wildcards, "method")
        else clip_config(wildcards)[stage]
    )


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


def gpu():
    """GPUs that a training or rendering job asks for."""
    device = CONFIG["train"]["device"]
    return int(
        device == "cuda"
        or (device == "auto" and shutil.which("nvidia-smi") is not None)
    )


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


or_workflow_error(check_paths)
or_workflow_error(check_weights)


def any_of(names):
    """A wildcard constraint that matches these names only (and nothing, if there are none)."""
    return "|".join(map(re.escape, names)) or "(?!)"


wildcard_constraints:
    clip=any_of([*clips(), CLEAN_CLIP, *robustness_clips()]),
    method=any_of(table_methods()),
    setting=any_of([*settings(), "training_frames"]),
    speech="[A-Za-z0-9_-]+",
    denoiser="[a-z0-9_]+",
