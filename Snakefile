# From raw videos to tables: one rule file per stage, in the order in which the data flow.

from snakemake.utils import min_version

min_version("9.0")


# The bundled example, unless a config file is given: its clips should not join the user's.
if not workflow.overwrite_configfiles:

    configfile: "config.yaml"


include: "rules/common.smk"


# A workflow that uses this one as a module has a first page of its own.
if not IS_MODULE:

    report: "docs/captions/workflow.rst"


# For `--sdm apptainer`: built by apptainer.def, in the working directory; no registry has it.
container: "wildtalker.sif"


include: "rules/shown.smk"
include: "rules/inputs.smk"
include: "rules/media.smk"
include: "rules/speech.smk"
include: "rules/person.smk"
include: "rules/occlusion.smk"
include: "rules/pose.smk"
include: "rules/scene.smk"
include: "rules/train.smk"
include: "rules/render.smk"
include: "rules/evaluate.smk"
include: "rules/report.smk"


rule all:
    input:
        rules.write_report.output,
        rules.tabulate.output,
        rules.plot_comparison.output,
        portrait_files(),


# What compute nodes without network need beforehand.
rule fetch_all:
    input:
        all_weights(),
        all_tried_weights(),
    localrule: True


# Hours of training are not thrown away without a word.
onstart:
    replaced.name_replaced(workflow.dag)
