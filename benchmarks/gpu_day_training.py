"""Parts of ``gpu_day.py`` that train: ten steps of each preset, and a head for most of the time."""

from __future__ import annotations

import dataclasses
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import torch
from torch.profiler import ProfilerActivity, profile

from tests.training import tiny_scene
from tests.training.conftest import preset, tiny_preset
from wildtalker_core.nerf.portrait import Portrait
from wildtalker_core.scene.body_motion import BodyMotion
from wildtalker_core.scene.scene import FrameStack, Scene
from wildtalker_core.training import optimise, stages
from wildtalker_core.training.checkpoints import save_portrait

if TYPE_CHECKING:
    from benchmarks.gpu_day_parts import Part

_N_STEPS = 10
_N_FRAMES = 20


def options_for(part: Part, name: str, stages_to_run: dict[str, int]) -> dict[str, Any]:
    """A preset's options for the made scene, with so many steps a stage at most."""
    options = (tiny_preset if part.is_tiny else preset)(name)
    options |= {"device": part.device.type, "perceptual": "none", "preview_every": 0}
    for stage, steps in stages_to_run.items():
        options[stage]["steps"] = min(options[stage]["steps"], steps)
    if part.is_tiny:
        options["splats"]["n_gaussians"] = 500
    return options


def host_gb() -> float:
    """Largest memory of this process so far; 0 where the system does not say."""
    try:
        import resource
    except ImportError:  # Windows
        return 0.0
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9


class Watched:
    """In the place of ``optimise.progress``: times each step, profiles some, ends in time.

    Attributes:
        waiting: share of the profiled steps in which the card had nothing to do. Profiling slows
            the host, so it is an upper bound.
    """

    def __init__(self, part: Part, ends: float, profiled: range) -> None:
        self.part, self.ends, self.profiled = part, ends, profiled
        self.milliseconds: list[float] = []
        self.waiting: float | None = None

    def __call__(self, steps: range, _: str) -> Iterator[int]:
        profiler, started, profiled_from = None, time.perf_counter(), 0.0
        for step in steps:
            if time.time() > self.ends:
                break
            if step == self.profiled.start and self.part.device.type == "cuda":
                self.part.synchronise()
                profiler = profile(activities=[ProfilerActivity.CUDA]).__enter__()
                profiled_from = time.perf_counter()
            yield step
            self.part.synchronise()
            if profiler is None:
                now = time.perf_counter()
                self.milliseconds.append(1e3 * (now - started))
                started = now
            elif step + 1 == self.profiled.stop:
                wall = time.perf_counter() - profiled_from
                profiler.__exit__(None, None, None)
                busy = sum(event.self_device_time_total for event in profiler.key_averages()) / 1e6
                if busy:  # else the driver does not let itself be watched
                    self.waiting = max(0.0, 1 - busy / wall)
                profiler, started = None, time.perf_counter()
        if profiler is not None:
            profiler.__exit__(None, None, None)

    def facts(self) -> dict[str, Any]:
        """Figures of a step: the median of the later half, as the first ones compile."""
        later = sorted(self.milliseconds[len(self.milliseconds) // 2 :])
        return {
            "steps": len(self.milliseconds), "ms a step": later[len(later) // 2] if later else 0.0,
            "first step ms": self.milliseconds[0] if self.milliseconds else 0.0,
            "card waits for host": "not measured" if self.waiting is None else self.waiting,
            "device GB": self.part.memory_gb(), "host GB": host_gb(),
        }  # fmt: skip


def no_log(step: int, losses: dict[str, float]) -> None:
    """Nobody reads it."""


def watch(part: Part, preset_name: str, stage: str, run: Callable[[], stages.Trained]) -> Any:
    """Run ten steps of a stage and write what they took; returns what was trained."""
    if part.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    watched = Watched(part, part.ends, range(_N_STEPS - 3, _N_STEPS))
    vars(optimise)["progress"] = watched
    trained = run()
    kernel = trained.figures.get("encoder") or trained.figures["rasteriser"]
    part.write(
        preset=preset_name, stage=stage, by=kernel,
        precision=trained.figures["precision"],
        loss=next(iter(trained.outcome.losses.values()), "not reached"), **watched.facts(),
    )  # fmt: skip
    return trained


def try_preset(part: Part, name: str) -> None:
    """Ten steps of each stage of the radiance field that the preset has."""
    scene = made_scene(part.size)
    motion = made_motion(scene)
    options = options_for(part, name, dict.fromkeys(("head", "lips", "torso"), _N_STEPS))
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)

        def head_stage() -> stages.Trained:
            return stages.head_stage(scene, options, folder / "head", no_log)

        trained, path = watch(part, name, "head", head_stage), folder / "head.safetensors"
        facts = {"shape": trained.portrait.shape.to_dict(), "stage": "head"}
        save_portrait(path, trained.portrait.state_dict(), facts)

        def lips_stage() -> stages.Trained:
            return stages.lips_stage(scene, path, options, None, folder / "lips", no_log)

        def torso_stage() -> stages.Trained:
            return stages.torso_stage(scene, motion, path, options, folder / "torso", no_log)

        if options["lips"]["steps"]:
            watch(part, name, "lips", lips_stage)
        watch(part, name, "torso", torso_stage)


def try_splats(part: Part, name: str) -> None:
    """Ten steps of a portrait of Gaussians."""
    scene = made_scene(part.size)
    options = options_for(part, name, {"splats": _N_STEPS})
    with tempfile.TemporaryDirectory() as temporary:

        def splats_stage() -> stages.Trained:
            folder, motion = Path(temporary), made_motion(scene)
            return stages.splats_stage(scene, motion, options, None, folder, no_log)

        watch(part, name, "splats", splats_stage)


def try_longest(part: Part, name: str) -> None:
    """Train a preset's head for most of the time, then render what it has not seen."""
    scene = made_scene(part.size)
    options = options_for(part, name, {})
    left = part.ends - time.time()
    watched = Watched(part, part.ends - max(2.0, 0.15 * left), range(100, 110))
    vars(optimise)["progress"] = watched
    with tempfile.TemporaryDirectory() as temporary:
        trained = stages.head_stage(scene, options, Path(temporary), no_log)
    part.write(**{"head of": name}, **watched.facts())
    portrait = trained.portrait
    assert isinstance(portrait, Portrait)
    portrait.eval()
    portrait.chunk_rays = 1 << 17
    poses = torch.as_tensor(scene.T_camera_head, dtype=torch.float32, device=part.device)
    sound = torch.as_tensor(scene.audio_features, dtype=torch.float32, device=part.device)
    expression = torch.as_tensor(scene.expression, dtype=torch.float32, device=part.device)
    seconds, errors, frames = [], [], scene.test_frames
    with torch.no_grad():
        for i in [*frames[:1], *np.resize(frames, _N_FRAMES)]:  # the first compiles
            if time.time() > part.ends - 1:
                break
            index = torch.tensor([i], device=part.device)
            behind = torch.as_tensor(scene.frames[i], device=part.device).float() / 255
            part.synchronise()
            started = time.perf_counter()
            lip = portrait.lip_features(sound, index, poses[index])
            drawn, _ = portrait.render_frame(poses[i], lip[0], expression[i], behind)
            shown = (drawn.clamp(0, 1) * 255).round().byte().cpu().numpy()
            seconds.append(time.perf_counter() - started)
            is_head = scene.parsing[i][..., 1] > 127
            errors.append(np.square((shown.astype(float) - scene.frames[i])[is_head] / 255).mean())
    if len(seconds) > 1:
        part.write(
            rendered=name, pixels=scene.width, frames=len(seconds) - 1,
            **{"frames a second": (len(seconds) - 1) / sum(seconds[1:])},
            **{"PSNR of unseen heads, dB": float(-10 * np.log10(np.mean(errors)))},
            **{"device GB": part.memory_gb(), "host GB": host_gb()},
        )  # fmt: skip


def made_scene(size: int) -> Scene:
    """The made clip of the tests, enlarged to ``size`` pixels."""
    scene = tiny_scene.make_scene()
    factor = size / scene.width

    def larger(stack: FrameStack) -> np.ndarray:
        return np.stack([
            cv2.resize(stack[i], (size, size), interpolation=cv2.INTER_LINEAR)
            for i in range(len(stack))
        ])  # fmt: skip

    return dataclasses.replace(
        scene, focal_length=scene.focal_length * factor, landmarks=scene.landmarks * factor,
        face_box=scene.face_box * factor, lip_box=scene.lip_box * factor,
        background=larger(scene.background[None])[0], frames=larger(scene.frames),
        hand_free_frames=larger(scene.hand_free_frames), parsing=larger(scene.parsing),
        transient_mask=larger(scene.transient_mask),
    )  # fmt: skip


def made_motion(scene: Scene) -> BodyMotion:
    """The made clip's motion, enlarged with it: torso and camera stand."""
    motion = tiny_scene.make_motion(tiny_scene.make_scene())
    factor = scene.width / tiny_scene.SIZE
    torso = dataclasses.replace(
        motion.torso, centre=motion.torso.centre * factor, box=motion.torso.box * factor
    )
    return dataclasses.replace(
        motion, torso=torso, camera_centre=motion.camera_centre * factor, plate=scene.background
    )
