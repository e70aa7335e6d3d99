"""The config, and each rule's options, paths and code digest."""

import functools
import importlib.util
import shutil
from pathlib import Path

from snakemake.exceptions import WorkflowError


def workflow_root():
    """Folder of config/ and workflow_scripts/: the one above these rules, where it is on the disk.

    Of a module by remote address Snakemake fetches the rules and scripts only: the rest is what the
    installed package `wildtalker` has.
    """
    beside = Path(str(workflow.current_basedir)).parent
    if (beside / "workflow_scripts").is_dir():
        return beside
    if importlib.util.find_spec("wildtalker") is None:
        raise WorkflowError(
            f"{workflow.current_basedir}: rules by remote address need the package wildtalker of "
            'the same version; pip install "wildtalker[workflow]"'
        )
    from wildtalker.running import workflow_dir

    return workflow_dir()


ROOT = workflow_root()
# Whether another workflow uses this one: `module wildtalker: ...`.
IS_MODULE = not workflow.modifier.is_main_snakefile()

# Rule scripts run in processes of their own; they find the packages beside the Snakefile.
os.environ.update(
    PYTHONPATH=os.pathsep.join(
        [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    )
)
sys.path.insert(0, str(ROOT))

import wildtalker_core
from wildtalker_core.errors import InputError
from wildtalker_core.option_types import names_of
from wildtalker_core.training.reads import accompanying, deciding
from workflow_scripts import (
    code_closure,
    configuration,
    raw_config,
    raw_inputs,
    replaced,
)

# Not below ROOT where a wheel is installed.
CORE = Path(wildtalker_core.__file__).parent


def or_workflow_error(function, *args):
    """Call ``function``; a user's error becomes Snakemake's own one-line error."""
    try:
        return function(*args)
    except InputError as error:
        raise WorkflowError(str(error)) from None


# Files and command line of a module are those of the workflow that uses it; its config may be a
# section of theirs, and hold text of the command line anywhere.
if not IS_MODULE:
    or_workflow_error(raw_config.check_files, workflow.configfiles)
USER_CONFIG = raw_inputs.expand_home(
    or_workflow_error(
        configuration.as_written,
        config,
        config if IS_MODULE else workflow.config_settings.config,
        ROOT / "config",
    )
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


def code_of(script):
    """Params entry: digest of all modules that a rule's script imports, e.g. "person/track_head".

    Snakemake sees a change of the script itself only. A changed digest makes the output stale.
    Training leaves it out on purpose, since an edited comment should not cost hours; remove the
    output, or --forcerun, to train anew.
    """
    return code_closure.digest(ROOT / f"workflow_scripts/{script}.py", ROOT, CORE)


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


def stamp_of(*inputs):
    """Params function: size and time of inputs, as far as no rule makes them; see raw_inputs.stamp.

    Of wildcards only: Snakemake does not compare params that depend on `input`. Of a module none: a
    rule of the workflow that uses it may make its inputs.
    """

    def stamps(wildcards):
        found = []
        for entry in inputs if not IS_MODULE else ():
            paths = entry(wildcards) if callable(entry) else entry
            found += [paths] if isinstance(paths, str) else paths
        made = f"{CONFIG['results_dir']}/"
        return raw_inputs.stamp([path for path in found if not path.startswith(made)])

    return stamps


def stage_options(stage, *keys):
    """Params function: a stage's section, with the method's overlay where there is a method.

    With ``keys`` only these entries, so that the others make nothing stale: those that the rule's
    script reads, each by its name or all that a dataclass of options has.
    """
    named = [
        name
        for key in keys
        for name in ([key] if isinstance(key, str) else names_of(key))
    ]

    def options(wildcards):
        if stage == "occlusion":
            section = occlusion_options(wildcards)
        elif hasattr(wildcards, "method"):
            section = method_options(wildcards)[stage]
        else:
            section = clip_config(wildcards)[stage]
        return {key: section[key] for key in named or section}

    return options


def train_options(stage):
    """Params function: what decides the result of a stage of training."""
    return lambda wildcards: deciding(method_options(wildcards)["train"], stage)


def accompanying_options(stage):
    """Params function: what a stage of training reads besides.

    It depends on `input` for Snakemake's sake, which does not compare such params: a preview more
    often should not cost hours.
    """
    return lambda wildcards, input: accompanying(
        method_options(wildcards)["train"], stage
    )


def occlusion_folder(method, for_spoiled=False):
    """Folder of a method's masks: the shared one unless it overlays the section occlusion."""
    shared = (SPOILED_CONFIG if for_spoiled else CONFIG)["occlusion"]
    own = method_view(method, for_spoiled)["occlusion"]
    if own == shared:
        return "occlusion"
    first = next(
        name
        for name in CONFIG["methods"]
        if method_view(name, for_spoiled)["occlusion"] == own
    )
    return f"occlusion.{first}"


def occlusion_options(wildcards):
    """The section occlusion that a folder of masks is made with."""
    method = wildcards.occlusion.removeprefix("occlusion").removeprefix(".")
    if method:
        return method_options(wildcards, method)["occlusion"]
    return clip_config(wildcards)["occlusion"]


def gpu():
    """GPUs that a training or rendering job asks for."""
    device = CONFIG["train"]["device"]
    return int(
        device == "cuda"
        or (device == "auto" and shutil.which("nvidia-smi") is not None)
    )
