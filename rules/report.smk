SCORED = [
    results(f"{clip}/evaluate/{method}/{setting}")
    for clip in clips()
    for setting in settings()
    for method in shown_methods(clip, setting)
] + [
    results(f"{clip}/evaluate/{method}/{setting}")
    for clip in clips()
    for method, setting in informed_rows()
]


rule tabulate:
    input:
        videos=[f"{scored}.json" for scored in SCORED],
        frames=[f"{scored}.tsv" for scored in SCORED],
        speech=[
            results(f"{clip}/evaluate/speech/{speech}.{denoiser}.json")
            for clip in clips()
            for speech in [
                *(["original"] if "truth" in CONFIG["clips"][clip] else []),
                *CONFIG["speech"]["corruptions"],
            ]
            for denoiser in CONFIG["report"]["denoisers"]
        ],
        paper=str(ROOT / "config" / "paper_numbers.yaml"),
    output:
        table1_tsv=shown("table1.tsv", "table1"),
        table1_md=results("report/table1.md"),
        table1_tex=results("report/table1.tex"),
        table2_tsv=shown("table2.tsv", "table2"),
        table2_md=results("report/table2.md"),
        table2_tex=results("report/table2.tex"),
        table3_tsv=shown("table3.tsv", "table3"),
        table3_md=results("report/table3.md"),
        table3_tex=results("report/table3.tex"),
        more_tsv=shown("table1_more.tsv", "table1"),
        more_md=results("report/table1_more.md"),
        movement_tsv=shown("table1_movement.tsv", "table1"),
        movement_md=results("report/table1_movement.md"),
        differences_tsv=shown("table1_differences.tsv", "table1"),
        differences_md=results("report/table1_differences.md"),
        driven_tsv=shown("driven.tsv", "driven"),
        driven_md=results("report/driven.md"),
        driven_tex=results("report/driven.tex"),
        scores=results("report/scores.tsv"),
        provenance=results("report/provenance.json"),
        summary=results("report/summary.txt"),
    log:
        results("logs/tabulate.log"),
    conda:
        "../envs/wildtalker.yaml"
    resources:
        mem_mb=500,
        runtime=5,
    params:
        code=code_of("report/tabulate"),
        options=stage_options("report", "has_quoted_rows"),
        rendered=[
            results(f"{clip}/render/{method}/{setting}.mp4")
            for clip in clips()
            for method in all_methods()
            for setting in ["self_driven", *driven_settings()]
            if method in shown_methods(clip, setting)
        ],
        report=results("report/report.html"),
        more_tables=[results("report/robustness.md")] if robustness_clips() else [],
        corrupted=corrupted_settings(),
    script:
        "../workflow_scripts/report/tabulate.py"


# On demand: `snakemake --cores all tabulate_pairs --config evaluate="{speech_pairs: {...}}"`.
rule tabulate_pairs:
    input:
        scores=expand(
            rules.score_speech_pairs.output.scores,
            enhancer=[*PAIRS["denoisers"], *PAIRS["external"]],
        ),
        paper=str(ROOT / "config" / "paper_numbers.yaml"),
    output:
        tsv=results("report/table3_pairs.tsv"),
        md=results("report/table3_pairs.md"),
        tex=results("report/table3_pairs.tex"),
    log:
        results("logs/tabulate_pairs.log"),
    conda:
        "../envs/wildtalker.yaml"
    resources:
        mem_mb=500,
        runtime=5,
    params:
        code=code_of("report/tabulate_pairs"),
        options=stage_options("report", "has_quoted_rows"),
        rows=[*PAIRS["denoisers"], *PAIRS["external"]],
        external=list(PAIRS["external"]),
    script:
        "../workflow_scripts/report/tabulate_pairs.py"


SELF_DRIVEN = [
    results(f"{clip}/render/{method}/self_driven")
    for clip in clips()
    for method in shown_methods(clip, "self_driven")
]


rule plot_comparison:
    input:
        videos=[f"{rendered}.mp4" for rendered in SELF_DRIVEN],
        renders=[f"{rendered}.json" for rendered in SELF_DRIVEN],
        manifests=expand(results("{clip}/media/manifest.json"), clip=clips()),
        scenes=expand(results("{clip}/scene/scene.npz"), clip=clips()),
        references=[
            (
                f"{CONFIG['clips'][clip]['truth']}/hand_free.mp4"
                if "truth" in CONFIG["clips"][clip]
                else results(f"{clip}/occlusion/hand_free.zarr.zip")
            )
            for clip in clips()
        ],
    output:
        figure=shown("figure3.png", "figure3", "Figures"),
    log:
        results("logs/plot_comparison.log"),
    conda:
        "../envs/wildtalker.yaml"
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        code=code_of("report/plot_comparison"),
        options=stage_options("report", "n_figure_frames", "figure_column_px"),
        clips=clips(),
        methods=shown_methods(clips()[0], "self_driven"),
    script:
        "../workflow_scripts/report/plot_comparison.py"


rule compare_videos:
    input:
        videos=lambda wildcards: [
            results(f"{clip}/render/{method}/{wildcards.setting}.mp4")
            for method in shown_methods(wildcards.clip, wildcards.setting)
            for clip in [
                truth_clip(wildcards) if method == "ground_truth" else wildcards.clip
            ]
        ],
    output:
        video=shown("{clip}.{setting}.mp4", "videos", "Videos"),
    log:
        results("{clip}/logs/compare_videos.{setting}.log"),
    conda:
        "../envs/wildtalker.yaml"
    resources:
        mem_mb=1000,
        runtime=20,
    params:
        code=code_of("report/compare_videos"),
        options=stage_options("report", "figure_column_px"),
        methods=lambda wildcards: shown_methods(wildcards.clip, wildcards.setting),
    script:
        "../workflow_scripts/report/compare_videos.py"


rule plot_speech:
    input:
        speech=[
            results(f"{{clip}}/speech/{speech}.{denoiser}/speech.wav")
            for speech in ["original", *CONFIG["speech"]["corruptions"]]
            for denoiser in CONFIG["report"]["denoisers"]
        ],
        truth=truth_file("clean_speech.flac"),
    output:
        figure=shown("{clip}.speech.png", "speech", "Figures"),
    log:
        results("{clip}/logs/plot_speech.log"),
    conda:
        "../envs/wildtalker.yaml"
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        raw=stamp_of(truth_file("clean_speech.flac")),
        code=code_of("report/plot_speech"),
        sample_rate_hz=lambda wildcards: CONFIG["media"]["sample_rate_hz"],
    script:
        "../workflow_scripts/report/plot_speech.py"


rule plot_training:
    input:
        portraits=lambda wildcards: [
            portrait_file(wildcards, method) for method in nerf_methods()
        ],
    output:
        figure=shown("{clip}.training.png", "training", "Figures"),
    log:
        results("{clip}/logs/plot_training.log"),
    conda:
        "../envs/wildtalker.yaml"
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        code=code_of("report/plot_training"),
        methods=nerf_methods(),
    script:
        "../workflow_scripts/report/plot_training.py"


rule tabulate_robustness:
    input:
        # The ground truth is the same at every strength.
        videos=[
            results(f"{clip}/evaluate/{method}/self_driven.json")
            for i, clip in enumerate(robustness_clips())
            for method in [
                *(["ground_truth"] if i == 0 else []),
                *robustness_methods(),
            ]
        ],
    output:
        tsv=shown("robustness.tsv", "robustness"),
        md=results("report/robustness.md"),
        tex=results("report/robustness.tex"),
    log:
        results("logs/tabulate_robustness.log"),
    conda:
        "../envs/wildtalker.yaml"
    resources:
        mem_mb=500,
        runtime=5,
    params:
        code=code_of("report/tabulate_robustness"),
        strengths=robustness_clips(),
    script:
        "../workflow_scripts/report/tabulate_robustness.py"


rule plot_robustness:
    input:
        videos=rules.tabulate_robustness.input.videos,
    output:
        figure=shown("robustness.png", "robustness", "Figures"),
    log:
        results("logs/plot_robustness.log"),
    conda:
        "../envs/wildtalker.yaml"
    resources:
        mem_mb=1000,
        runtime=5,
    params:
        code=code_of("report/plot_robustness"),
        strengths=robustness_clips(),
    script:
        "../workflow_scripts/report/plot_robustness.py"


rule write_report:
    input:
        video_scores=rules.tabulate.input.videos,
        frame_scores=rules.tabulate.input.frames,
        speech_scores=rules.tabulate.input.speech,
        paper=rules.tabulate.input.paper,
        provenance=rules.tabulate.output.provenance,
        figure3=rules.plot_comparison.output.figure,
        self_driven=expand(
            rules.compare_videos.output.video, clip=clips(), setting="self_driven"
        ),
        driven=expand(
            rules.compare_videos.output.video, clip=clips(), setting=driven_settings()
        ),
        speech=expand(rules.plot_speech.output.figure, clip=clips()),
        training=expand(rules.plot_training.output.figure, clip=clips()),
        robustness=(rules.plot_robustness.output.figure if robustness_clips() else []),
        robustness_tables=(
            rules.tabulate_robustness.output.md if robustness_clips() else []
        ),
        robustness_scores=(
            rules.tabulate_robustness.input.videos if robustness_clips() else []
        ),
        spoiled=expand(
            rules.compare_videos.output.video,
            clip=strongest_clip(),
            setting="self_driven",
        ),
        spoiled_overlay=expand(
            results("{clip}/occlusion/overlay.png"), clip=strongest_clip()
        ),
        overlays=expand(results("{clip}/occlusion/overlay.png"), clip=clips()),
        portraits=[
            results(f"{clip}/render/{method}/{setting}.mp4")
            for clip in clips()
            for setting in ["self_driven", *driven_settings()]
            for method in all_methods()[:1]
            if method in shown_methods(clip, setting)
        ],
        weights=all_weights(),
        tried=all_tried_weights(),
        template=str(ROOT / "workflow_scripts" / "report" / "report.html.j2"),
    output:
        report=results("report/report.html"),
    log:
        results("logs/write_report.log"),
    conda:
        "../envs/wildtalker.yaml"
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        code=code_of("report/write_report"),
        options=stage_options("report", "has_quoted_rows"),
        clips=clips(),
        timed_clips=[*clips(), *robustness_clips()],
        strengths=robustness_clips(),
        corrupted=corrupted_settings(),
        first_method=all_methods()[0],
    script:
        "../workflow_scripts/report/write_report.py"
