"""Paths, options and code digests for the rule files."""

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
from workflow_scripts import configuration

ROOT = Path(workflow.basedir)
USER_CONFIG = dict(config)


def or_workflow_error(function, *args):
    """Call ``function``; a user's error becomes Snakemake's own one-line error."""
    try:
        return function(*args)
    except InputError as error:
        raise WorkflowError(str(error)) from None


CONFIG = or_workflow_error(configuration.complete_config, USER_CONFIG, ROOT / "config")


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
    named += [(f"drive.{name}", path) for name, path in CONFIG["drive"].items()]
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


def method_options(wildcards):
    """All config sections as the method of ``wildcards`` sees them."""
    return configuration.method_view(
        USER_CONFIG, CONFIG, wildcards.method, ROOT / "config"
    )


def stage_options(stage):
    """Params function: the stage's section, with the method's overlay where there is a method."""
    return lambda wildcards: (
        method_options(wildcards)[stage]
        if hasattr(wildcards, "method")
        else CONFIG[stage]
    )


def clip_path(wildcards):
    return CONFIG["clips"][wildcards.clip]["path"]


def method_speech(name):
    """Input function: a file of the speech that the method is trained on, as it denoises it."""
    return lambda wildcards: speech_file(wildcards, None, name)


def driving_speech(name):
    """Input function: a file of the speech that is spoken: the method's own, or the drive's."""
    return lambda wildcards: speech_file(
        wildcards,
        None if wildcards.setting == "self_driven" else wildcards.setting,
        name,
    )


def speech_file(wildcards, speech, name):
    """A file of `speech` (None: the method's source) as the method denoises it."""
    options = method_options(wildcards)["speech"]
    return results(
        f"{wildcards.clip}/speech/{speech or options['source']}.{options['denoiser']}/{name}"
    )


def truth_file(name):
    """Input function: a file of the clip's truth; nothing where the clip has none."""
    return lambda wildcards: (
        f"{CONFIG['clips'][wildcards.clip]['truth']}/{name}"
        if "truth" in CONFIG["clips"][wildcards.clip]
        else []
    )


def gpu():
    """GPUs that a training or rendering job asks for."""
    device = CONFIG["train"]["device"]
    return int(
        device == "cuda"
        or (device == "auto" and shutil.which("nvidia-smi") is not None)
    )


or_workflow_error(check_paths)


def any_of(names):
    """A wildcard constraint that matches these names only (and nothing, if there are none)."""
    return "|".join(map(re.escape, names)) or "(?!)"


wildcard_constraints:
    clip=any_of(clips()),
    method=any_of(table_methods()),
    setting=any_of(settings()),
    speech="[A-Za-z0-9_-]+",
    denoiser="[a-z0-9_]+",
