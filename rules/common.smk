"""The config, and each rule's options, paths and code digest."""

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

import wildtalker_core
from wildtalker_core.errors import InputError
from workflow_scripts import configuration, raw_config

ROOT = Path(workflow.basedir)
# Not below ROOT where a wheel is installed.
CORE = Path(wildtalker_core.__file__).parent


def or_workflow_error(function, *args):
    """Call ``function``; a user's error becomes Snakemake's own one-line error."""
    try:
        return function(*args)
    except InputError as error:
        raise WorkflowError(str(error)) from None


or_workflow_error(raw_config.check_files, workflow.configfiles)
USER_CONFIG = or_workflow_error(
    configuration.as_written, config, workflow.config_settings.config, ROOT / "config"
)
# Scripts are handed this one, too.
config.clear()
config.update(USER_CONFIG)
CONFIG = or_workflow_error(configuration.complete_config, USER_CONFIG, ROOT / "config")

# The clips of the robustness benchmark have a config of their own, and are in no other table.
ROBUSTNESS = CONFIG["robustness"]
SPOILED_USER_CONFIG = configuration.robustness_config(USER_CONFIG)
SPOILED_CONFIG = or_workflow_error(
    configuration.complete_config, SPOILED_USER_CONFIG, ROOT / "config"
)
CLEAN_CLIP = "spoiled_0"


def results(pattern):
    """Path under the results folder; wildcards stay."""
    return f"{CONFIG['results_dir']}/{pattern}"


def code_digest(*packages):
    """Params entry: digest of core packages' sources, since Snakemake sees only the scripts.

    A changed digest makes the output stale. Training leaves it out on purpose, since an edited
    comment should not cost hours; remove the output, or --forcerun, to train anew.
    """
    folders = [CORE / package for package in packages]
    files = [path for folder in folders for path in sorted(folder.glob("*.py"))]
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in files))
    return digest.hexdigest()[:12]


def clip_config(wildcards):
    """The completed config that the clip of ``wildcards`` is made with."""
    return SPOILED_CONFIG if is_spoiled(wildcards) else CONFIG


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


def gpu():
    """GPUs that a training or rendering job asks for."""
    device = CONFIG["train"]["device"]
    return int(
        device == "cuda"
        or (device == "auto" and shutil.which("nvidia-smi") is not None)
    )
