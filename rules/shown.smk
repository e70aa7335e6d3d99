"""Which clips, methods and settings there are, and what is shown of them."""

from workflow_scripts import shared_heads
from workflow_scripts.settings import (
    HEAD,
    corruption_of,
    is_driven,
    is_head,
    render_options,
)


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


def head_settings():
    """Table 2's: the head with the clip's own speech, and with each corruption of it."""
    return [
        HEAD,
        *(f"{HEAD}_{name}" for name in CONFIG["evaluate"]["test_corruptions"]),
    ]


def driven_settings():
    """One for each driving speech."""
    return [f"drive_{name}" for name in CONFIG["drive"]]


def settings():
    """What is rendered of each method: the test split, its head, and each driving speech."""
    return ["self_driven", *head_settings(), *driven_settings()]


def shown_methods(clip, setting):
    """Rows of a setting: nothing but trained and external methods speak what was never filmed."""
    if clip in robustness_clips():
        return ["ground_truth", *robustness_methods()]
    if setting == "self_driven":
        named = CONFIG["report"]["table1"]
        return [*configuration.BASELINES, *(all_methods() if named is None else named)]
    if is_head(setting):
        named = CONFIG["report"]["table2"]
        return heads() if named is None else named
    named = CONFIG["report"]["driven"]
    return all_methods() if named is None else named


def heads():
    """Methods with a head of their own: the others would fill rows of Table 2 with the same."""
    views = {name: method_view(name) for name in nerf_methods()}
    return [
        name
        for name in all_methods()
        if name not in views or shared_heads.head_owner(name, views) == name
    ]


def truth_clip(wildcards):
    """The clip whose ground truth is rendered: once for all strengths of the benchmark."""
    return list(robustness_clips())[0] if is_spoiled(wildcards) else wildcards.clip


def informed_rows():
    """(method, setting) that are told more than a table's rows: they stand beside them, unranked.

    The first trained method on frames that it was trained on (its ceiling), and portraits of
    Gaussians whose torso stands where it was filmed.
    """
    ceiling = nerf_methods()[:1] if CONFIG["evaluate"]["has_ceiling"] else []
    given = [
        name
        for name in shown_methods(None, "self_driven")
        if name in nerf_methods() and method_view(name)["train"]["renderer"] == "splats"
    ]
    return [
        *((name, "training_frames") for name in ceiling),
        *((name, "torso_given") for name in given),
    ]


def portrait_files():
    """One file that talks for each portrait of Gaussians that hears log-mel, alone or not."""
    views = {name: method_view(name) for name in nerf_methods()}
    return [
        results(f"{clip}/train/{name}/me.portrait")
        for clip in clips()
        for name, view in views.items()
        if view["train"]["renderer"] == "splats"
        and view["speech"]["audio_features"] in ("logmel", "whisper", "auto")
    ]


def corrupted_settings():
    """Settings whose driving speech has noise mixed in."""
    return [
        f"drive_{name}"
        for name, drive in CONFIG["drive"].items()
        if drive["corruption"]
    ]


def any_of(names):
    """A wildcard constraint that matches these names only (and nothing, if there are none)."""
    return "|".join(map(re.escape, names)) or "(?!)"


wildcard_constraints:
    clip=any_of([*clips(), CLEAN_CLIP, *robustness_clips()]),
    method=any_of(table_methods()),
    occlusion=r"occlusion(\.[A-Za-z0-9_-]+)?",
    setting=any_of([*settings(), "training_frames", "torso_given"]),
    speech="[A-Za-z0-9_-]+",
    denoiser="[a-z0-9_]+",


def shown(name, about, category="Tables"):
    """An output of the stage report that `snakemake --report` shows, with docs/captions/{about}.rst."""
    caption = f"../docs/captions/{about}.rst"
    return report(results(f"report/{name}"), caption=caption, category=category)
