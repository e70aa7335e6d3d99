"""A photograph that talks: a synthetic clip whose every truth is known.

The astronaut portrait of scikit-image (public domain, NASA) is cut into background, torso and head.
The head is a height field over the photograph (from its own face mesh) that is turned in 3-D about
the neck and projected; lids, lips and jaw are warped by the speech; a synthetic hand passes in
front of the torso.

    model = build_portrait()
    frames, truth = render_situation(Situation(n_frames=100), model, waveform, sample_rate_hz)

Geometry is in canvas pixels (a frame 256 px wide, whatever its real size) or metres. Camera: x
right, y down, z forward. Head frame: axes of the camera at zero pose, which is the pose of the
photograph; origin at the neck pivot. `T_camera_head` = [R | t] maps head points (metres) into the
camera; R = R_z(roll) @ R_y(yaw) @ R_x(pitch): positive yaw turns the nose to the left of the image,
positive pitch nods down, positive roll tilts clockwise.
"""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
from photograph import FOCAL_LENGTH_PX, MARGIN, PX_PER_CANVAS, PortraitModel, build_portrait
from situation import Situation, SituationTruth, blink_track, plan_motion, rotation_matrices
from speaking_face import SpeakingFace
from synthetic_speech import mouth_track

from wildtalker_core.robustness.gesture import Gesture, HandMotion
from wildtalker_core.robustness.synthetic_hand import CANVAS_PX, draw_hands, lay_over

# Points of the face mesh that speech and blinks leave at rest: forehead, temples, nose, eye
# corners, cheekbones.
RIGID_POINTS = (
    10, 67, 297, 109, 338, 151, 9, 8, 168, 6, 197, 195, 5, 4, 1, 45, 275, 33, 133, 263, 362, 127,
    356, 162, 389, 54, 284, 103, 332, 117, 346, 50, 280,
)  # fmt: skip


class _Renderer:
    """Renders single instants of one situation; holds what does not change between them."""

    def __init__(
        self, situation: Situation, model: PortraitModel, tracks: dict[str, np.ndarray]
    ) -> None:
        self.situation, self.model, self.tracks = situation, model, tracks
        self.face = SpeakingFace(model.landmarks)
        n = situation.size_px
        centres = (np.arange(n) + 0.5) * CANVAS_PX / n
        self.grid = np.stack(np.meshgrid(centres, centres), -1)
        self.depth = self.sample(model.depth, self.grid)
        self.weight = self.sample(model.head_weight, self.grid)[..., None]
        z0, ppm = model.pivot_depth_metres, model.px_per_metre
        self.pivot_metres = np.append((model.pivot_px - CANVAS_PX / 2) / ppm, z0)
        self.head_points = self.lift(self.grid, self.depth)

    def grain(self, rng: np.random.Generator) -> np.ndarray | float:
        """The sensor's noise of one frame [rows, columns, 1], of 1 at white."""
        noise, n = self.situation.sensor_noise, self.situation.size_px
        return noise * rng.standard_normal((n, n, 1)) if noise else 0.0

    def sample(self, layer: np.ndarray, points: np.ndarray, cubic: bool = False) -> np.ndarray:
        """Read a texture at canvas points [rows, columns, 2]."""
        at = ((points + MARGIN / PX_PER_CANVAS) * self.model.texture_px - 0.5).astype(np.float32)
        how = cv2.INTER_CUBIC if cubic else cv2.INTER_LINEAR
        return cv2.remap(layer, at[..., 0], at[..., 1], how, borderMode=cv2.BORDER_REPLICATE)

    def lift(self, points: np.ndarray, depth: np.ndarray) -> np.ndarray:
        """Canvas points [..., 2] with depths [...] (canvas pixels) as head points [..., 3],
        metres."""
        z = self.model.pivot_depth_metres + depth / self.model.px_per_metre
        xy = (points - CANVAS_PX / 2) / FOCAL_LENGTH_PX * z[..., None]
        return np.concatenate([xy, z[..., None]], -1) - self.pivot_metres

    @staticmethod
    def project(
        head_points: np.ndarray, rotation: np.ndarray, translation: np.ndarray
    ) -> np.ndarray:
        """Head points [..., 3] to canvas points [..., 2]."""
        camera = head_points @ rotation.T + translation
        return camera[..., :2] / camera[..., 2:] * FOCAL_LENGTH_PX + CANVAS_PX / 2

    def at(self, name: str, frame: float) -> np.ndarray:
        """A track at a fractional frame."""
        track = self.tracks[name]
        low = int(np.clip(np.floor(frame), 0, len(track) - 1))
        high = min(low + 1, len(track) - 1)
        share = float(np.clip(frame - low, 0.0, 1.0))
        return track[low] * (1 - share) + track[high] * share

    def torso_affine(self, frame: float) -> np.ndarray:
        """[2, 3] matrix that moves torso points of the photograph, canvas pixels.

        It turns about the hips.
        """
        hips = np.array([self.model.pivot_px[0], 400.0])
        lean = float(self.at("lean", frame))
        lift = 1.0 + 0.0022 * float(self.at("breath", frame))
        turn = np.array([[np.cos(lean), -np.sin(lean) * lift], [np.sin(lean), np.cos(lean) * lift]])
        return np.concatenate([turn, (hips + self.at("sway", frame) - turn @ hips)[:, None]], 1)

    def head_pose(self, frame: float) -> tuple[np.ndarray, np.ndarray]:
        """R [3, 3] and t [3] metres: the neck pivot rides on the torso."""
        angles = [np.atleast_1d(self.at(name, frame)) for name in ("yaw", "pitch", "roll")]
        affine = self.torso_affine(frame)
        moved = affine[:, :2] @ self.model.pivot_px + affine[:, 2] - self.model.pivot_px
        translation = self.pivot_metres + np.append(moved / self.model.px_per_metre, 0.0)
        return rotation_matrices(*angles)[0], translation

    def person(self, frame: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Picture without a hand [size, size, 3], coverage of the person and of the head [size,
        size]."""
        model = self.model
        seen = self.grid - self.at("shake", frame)
        affine = self.torso_affine(frame)
        rotation, translation = self.head_pose(frame)

        inverse = np.linalg.inv(affine[:, :2])
        torso_at = (seen - affine[:, 2]) @ inverse.T
        torso_move = self.grid @ affine[:, :2].T + affine[:, 2] - self.grid
        head_move = self.project(self.head_points, rotation, translation) - self.grid
        move = (self.weight * head_move + (1.0 - self.weight) * torso_move).astype(np.float32)
        # The motion is known where points start; the picture needs where they come from: invert by
        # fixed point.
        origin = seen - head_move.mean((0, 1))
        to_pixel = self.situation.size_px / CANVAS_PX
        for _ in range(12):
            at = (origin * to_pixel - 0.5).astype(np.float32)
            step = seen - cv2.remap(
                move, at[..., 0], at[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
            )
            origin = 0.25 * origin + 0.75 * step

        opening, rounding = float(self.at("opening", frame)), float(self.at("rounding", frame))
        low, high = self.face.box
        rows = np.flatnonzero(((origin[..., 1] > low[1]) & (origin[..., 1] < high[1])).any(1))
        columns = np.flatnonzero(((origin[..., 0] > low[0]) & (origin[..., 0] < high[0])).any(0))
        window = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        skull = origin[window]
        source = origin.copy()
        source[window], interior, above, below = self.face.pull_back(
            skull, opening, rounding, float(self.at("blink", frame)), float(self.at("brow", frame))
        )
        head = self.sample(model.head, source, cubic=True)
        inside = self.face.paint_interior(
            self.sample(model.head, skull, cubic=True), skull, above, below, opening
        )
        head[window] += (inside - head[window]) * interior[..., None]

        head_alpha = self.sample(model.head_alpha, source)[..., None]
        torso_alpha = self.sample(model.torso_alpha, torso_at)[..., None]
        picture = self.sample(model.background, seen, cubic=True)
        picture = picture + (self.sample(model.torso, torso_at, cubic=True) - picture) * torso_alpha
        picture = picture + (head - picture) * head_alpha
        person_alpha = 1.0 - (1.0 - head_alpha) * (1.0 - torso_alpha)
        return picture, person_alpha[..., 0], head_alpha[..., 0]

    def exposed_person(self, frame: int) -> tuple[np.ndarray, ...]:
        """:meth:`person`, averaged over the shutter's instants."""
        offsets = _shutter_offsets(self.situation.frame_blur_samples, self.situation.shutter)
        samples = [self.person(frame + float(o)) for o in offsets]
        return tuple(np.mean(parts, axis=0) for parts in zip(*samples, strict=True))

    def exposed_hands(self, hands: list[HandMotion], frame: int) -> tuple[np.ndarray, np.ndarray]:
        """Premultiplied colour and coverage of the hands, averaged likewise."""
        situation = self.situation
        instants = frame + _shutter_offsets(situation.hand_blur_samples, situation.shutter)
        return draw_hands(
            hands,
            self.model.palette,
            [float(instant) / situation.fps for instant in instants],
            situation.size_px,
            [tuple(self.at("shake", float(instant))) for instant in instants],
        )


def _shutter_offsets(n_samples: int, shutter: float) -> np.ndarray:
    return shutter * ((np.arange(n_samples) + 0.5) / n_samples - 0.5)


def render_situation(
    situation: Situation,
    model: PortraitModel | None = None,
    waveform: np.ndarray | None = None,
    sample_rate_hz: int = 16000,
) -> tuple[np.ndarray, SituationTruth]:
    """Render a clip; its mouth follows the clean speech `waveform` [samples] (None: stays shut).

    Returns frames [n, size, size, 3] uint8 RGB and their truth. The same situation, model and
    waveform give the same result, bit for bit, on one machine.
    """
    model = model if model is not None else build_portrait(situation.size_px)
    n, size, fps = situation.n_frames, situation.size_px, situation.fps
    opening = rounding = np.zeros(n)
    if waveform is not None:
        opening, rounding = mouth_track(waveform, sample_rate_hz, n, fps)
    rng = np.random.default_rng((situation.seed, 1))
    tracks = plan_motion(situation, opening) | {"opening": opening, "rounding": rounding}
    tracks["blink"] = blink_track(np.arange(n) / fps, situation.blinks_per_minute, rng)
    renderer = _Renderer(situation, model, tracks)
    lifted = {"crosses_face": True} if situation.hand_crosses_face else {}
    hands = [HandMotion(replace(gesture, **lifted), rng) for gesture in situation.gestures]

    frames = np.zeros((n, size, size, 3), np.uint8)
    hand_free = np.zeros_like(frames)
    person_alphas = np.zeros((n, size, size), np.uint8)
    occluder, persons, heads = (np.zeros((n, size, size), bool) for _ in range(3))
    poses = [renderer.head_pose(i) for i in range(n)]
    depth = renderer.sample(model.depth, model.landmarks[None])[0][list(RIGID_POINTS)]
    rigid_points = renderer.lift(model.landmarks[list(RIGID_POINTS)], depth)
    to_pixel = size / CANVAS_PX
    for i in range(n):
        clean, person_alpha, head_alpha = renderer.exposed_person(i)
        colour, hand_alpha = renderer.exposed_hands(hands, i)
        has_hand = hand_alpha.any()
        picture = lay_over(clean, colour, hand_alpha, person_alpha) if has_hand else clean
        grain = renderer.grain(rng)
        frames[i] = np.clip((picture + grain) * 255.0 + 0.5, 0, 255)
        hand_free[i] = np.clip((clean + grain) * 255.0 + 0.5, 0, 255)
        occluder[i] = hand_alpha > 0.05
        person_alphas[i] = np.round(255 * person_alpha)
        persons[i], heads[i] = person_alpha > 0.5, head_alpha > 0.5

    rotations, translations = (np.stack(part) for part in zip(*poses, strict=True))
    projected = np.stack([renderer.project(rigid_points, *pose) for pose in poses])
    projected = projected + tracks["shake"][:, None]
    truth = SituationTruth(
        hand_free_frames=hand_free,
        occluder_masks=occluder,
        person_alphas=person_alphas,
        person_masks=persons,
        head_masks=heads,
        head_rotations=rotations,
        head_translations=translations,
        yaw_pitch_roll_radians=np.stack([tracks[a] for a in ("yaw", "pitch", "roll")], 1),
        mouth_opening=opening,
        mouth_rounding=rounding,
        blink=tracks["blink"],
        camera_shift_px=tracks["shake"] * to_pixel,
        focal_length_px=FOCAL_LENGTH_PX * to_pixel,
        rigid_points=rigid_points,
        rigid_points_px=projected * to_pixel,
    )
    return frames, truth


def make_tiny(
    n_frames: int = 50, size_px: int = 128, seed: int = 0, waveform: np.ndarray | None = None
) -> tuple[np.ndarray, SituationTruth]:
    """A small clip for tests: `n_frames` frames of `size_px`, one waving hand in its middle; a few
    seconds of work.

    Without a `waveform` (16 kHz) the mouth opens to a made-up murmur of vowels.
    """
    if waveform is None:
        times = np.arange(int(n_frames / 25.0 * 16000)) / 16000.0
        waveform = np.sin(2 * np.pi * 500.0 * times) * np.clip(
            np.sin(2 * np.pi * 2.0 * times), 0, 1
        )
    length = n_frames / 25.0
    gesture = Gesture(
        "fast_wave", "left", start_seconds=0.25 * length, duration_seconds=0.6 * length
    )
    situation = Situation(
        n_frames=n_frames, size_px=size_px, seed=seed, gestures=(gesture,), hand_blur_samples=1
    )
    return render_situation(situation, build_portrait(size_px), waveform, 16000)
