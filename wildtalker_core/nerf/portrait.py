"""The whole portrait: head over torso over a static background."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Int64
from torch import Tensor, nn

from wildtalker_core.geometry.cameras import pixel_grid, project
from wildtalker_core.geometry.moment import Moment
from wildtalker_core.geometry.rays import pixel_rays
from wildtalker_core.geometry.rotations import matrix_to_axis_angle, transform_points
from wildtalker_core.mouth.ear import Ear
from wildtalker_core.mouth.options import SpeakingOptions
from wildtalker_core.mouth.speaking import smooth_causally, spoken_shapes
from wildtalker_core.nerf.cpu_products import rounded_up
from wildtalker_core.nerf.face_sync import AudioEncoder
from wildtalker_core.nerf.head_field import TRACES, Condition, HeadField, Traces
from wildtalker_core.nerf.occupancy import AlphaGrid, OccupancyGrid
from wildtalker_core.nerf.portrait_shape import PortraitShape
from wildtalker_core.nerf.sampling import hierarchical_samples
from wildtalker_core.nerf.torso_field import TorsoField
from wildtalker_core.nerf.tri_plane import HashGrids
from wildtalker_core.nerf.volume_rendering import Composite, Samples, composite, sample_occupied

#: Rays stop being followed below this transmittance (RAD-NeRF, ER-NeRF).
_OPAQUE = 1e-4
#: Samples of a ray that are evaluated together while rendering, before looking how much light is
#: left.
_SAMPLES_AT_ONCE = 4


class Portrait(nn.Module):
    """Fields, audio encoder, occupancy and background; knows how to render, not how to train."""

    background: Float[Tensor, "height width 3"]

    def __init__(
        self, shape: PortraitShape, encoder: str = "torch", chunk_rays: int = 1 << 15
    ) -> None:
        """Untrained.

        Args:
            chunk_rays: rays rendered at once; bounds the memory.
        """
        super().__init__()
        self.shape, self.chunk_rays = shape, chunk_rays
        n_lip = shape.head.n_lip
        if shape.lip_feature == "audio":
            self.audio = AudioEncoder(shape.n_audio_features, shape.audio_window, n_lip)
        elif shape.lip_feature == "mouth_shape":
            self.ear = Ear(
                shape.n_audio_features, shape.audio_window, shape.n_mouth_shapes, shape.n_heard
            )
            self.mouth_to_lip = nn.Linear(shape.n_mouth_shapes, n_lip)
        else:
            raise ValueError(f"lip_feature is audio or mouth_shape, not {shape.lip_feature!r}")
        self.head = HeadField(shape.head, encoder)
        self.head_codes = nn.Parameter(0.1 * torch.randn(shape.n_frames, shape.head.n_code))
        self.occupancy = OccupancyGrid(shape.occupancy_resolution, shape.head.half_extents)
        self.torso = TorsoField(shape.torso, encoder)
        self.torso_codes = nn.Parameter(0.1 * torch.randn(shape.n_frames, shape.torso.n_code))
        self.alpha_grid = AlphaGrid(shape.alpha_resolution)
        self.register_buffer("background", torch.zeros(shape.height, shape.width, 3))

    @property
    def encoder(self) -> str:
        """What computes the hash grids."""
        return next(part.encoder for part in self.modules() if isinstance(part, HashGrids))

    def lip_features(
        self,
        audio_features: Float[Tensor, "n features window"],
        frames: Int64[Tensor, "k"],
        T_camera_head: Float[Tensor, "k 4 4"] | None = None,
    ) -> Float[Tensor, "k n_lip"]:
        """f_l of frames of a speech.

        Args:
            audio_features: of the whole speech.
            T_camera_head: head poses that are shown with it (``mouth_shape`` only); None: the mean
                pose.
        """
        if self.shape.lip_feature == "audio":
            return self.audio(audio_features, frames)
        turns = None if T_camera_head is None else matrix_to_axis_angle(T_camera_head[:, :3, :3])
        return self.mouth_to_lip(self.ear.shapes(audio_features, frames, turns))

    def unseen_codes(self) -> tuple[Float[Tensor, "1 n_head"], Float[Tensor, "1 n_torso"]]:
        """Head and torso code for frames that were not trained on.

        ASSUME the mean of all codes: the peers take frame 0's, which is any frame's accident.
        """
        return self.head_codes.mean(0, keepdim=True), self.torso_codes.mean(0, keepdim=True)

    def predicted_torso(self, T_camera_head: Float[Tensor, "k 4 4"]) -> Float[Tensor, "k 0"]:
        """Nothing: this torso is told the head's pose and nothing else."""
        return T_camera_head.new_zeros(len(T_camera_head), 0)

    def sample(
        self,
        rays_o: Float[Tensor, "rays 3"],
        rays_d: Float[Tensor, "rays 3"],
        condition: Condition,
        frame_index: Int64[Tensor, "rays"] | None = None,
        jitter: Float[Tensor, "rays"] | None = None,
    ) -> Samples:
        """Where the head is looked at along rays; arguments as in :meth:`render_head`."""
        shape = self.shape
        if shape.sampling == "occupied":
            return sample_occupied(
                rays_o, rays_d, self.occupancy.is_occupied, self.head.half_extents,
                shape.step, shape.n_samples, jitter,
            )  # fmt: skip
        if shape.sampling == "hierarchical":

            def sigmas_of(positions: Tensor, ray: Tensor) -> Tensor:
                row = None if frame_index is None else frame_index[ray]
                return self.head.density(positions, condition.of(row))[0]

            return hierarchical_samples(
                rays_o, rays_d, self.head.half_extents, shape.n_samples, shape.n_fine_samples,
                sigmas_of, jitter,
            )  # fmt: skip
        raise ValueError(f"sampling is occupied or hierarchical, not {shape.sampling!r}")

    def render_head(
        self,
        rays_o: Float[Tensor, "rays 3"],
        rays_d: Float[Tensor, "rays 3"],
        condition: Condition,
        frame_index: Int64[Tensor, "rays"] | None = None,
        jitter: Float[Tensor, "rays"] | None = None,
    ) -> tuple[Composite, Traces]:
        """Differentiable render of rays, as in training.

        Args:
            condition: one row, or one row per frame with ``frame_index``.
            frame_index: row of ``condition`` for each ray.
            jitter: in [0, 1).
        """
        samples = self.sample(rays_o, rays_d, condition, frame_index, jitter)
        ray, slot = samples.is_sample.nonzero(as_tuple=True)
        n = len(ray)
        many_ray, many_slot = rounded_up(ray), rounded_up(slot)
        t = (samples.t_starts[many_ray, many_slot] + samples.t_ends[many_ray, many_slot]) / 2
        positions = rays_o[many_ray] + rays_d[many_ray] * t[:, None]
        row = None if frame_index is None else frame_index[many_ray]
        sigmas = torch.zeros_like(samples.t_starts)
        rgbs = rays_o.new_zeros(*sigmas.shape, 3)
        traces = rays_o.new_zeros(*sigmas.shape, len(TRACES))
        if n:
            values = self.head(positions, rays_d[many_ray], condition.of(row))
            sigmas = sigmas.index_put((ray, slot), values[0][:n])
            rgbs = rgbs.index_put((ray, slot), values[1][:n])
            traces = traces.index_put((ray, slot), values[2][:n])
        positions, row = positions[:n], None if row is None else row[:n]
        seen = composite(sigmas, rgbs, samples.t_starts, samples.t_ends)
        weights = seen.weights.detach()
        if self.training and len(ray):
            self.occupancy.see(positions, weights[ray, slot])
        lip, expression, uncertainty = (weights[..., None] * traces).sum(-2).unbind(-1)
        return seen, Traces(lip, expression, uncertainty, positions.detach(), row)

    @torch.no_grad()
    def see_head(
        self, rays_o: Float[Tensor, "rays 3"], rays_d: Float[Tensor, "rays 3"], condition: Condition
    ) -> tuple[Float[Tensor, "rays 3"], Float[Tensor, "rays"]]:
        """Premultiplied colours and opacities, for one frame's condition.

        The same picture as :meth:`render_head` without jitter, but no sample behind an opaque
        surface is evaluated.
        """
        samples = self.sample(rays_o, rays_d, condition)
        trans = rays_o.new_ones(len(rays_o))
        colours = rays_o.new_zeros(len(rays_o), 3)
        for first in range(0, samples.is_sample.shape[1], _SAMPLES_AT_ONCE):
            slots = slice(first, first + _SAMPLES_AT_ONCE)
            alive = (samples.is_sample[:, first] & (trans > _OPAQUE)).nonzero().squeeze(-1)
            if not len(alive):
                break
            starts, ends = samples.t_starts[alive, slots], samples.t_ends[alive, slots]
            ray, slot = samples.is_sample[alive, slots].nonzero(as_tuple=True)
            n = len(ray)
            many_ray, many_slot = rounded_up(ray), rounded_up(slot)
            t = (starts[many_ray, many_slot] + ends[many_ray, many_slot]) / 2
            origin, direction = rays_o[alive[many_ray]], rays_d[alive[many_ray]]
            sigma, rgb, _ = self.head(origin + direction * t[:, None], direction, condition)
            sigmas, rgbs = torch.zeros_like(starts), starts.new_zeros(*starts.shape, 3)
            sigmas[ray, slot], rgbs[ray, slot] = sigma[:n], rgb[:n]
            seen = composite(sigmas, rgbs, starts, ends)
            colours[alive] += trans[alive, None] * seen.colours
            trans[alive] *= 1 - seen.opacities
        return colours, 1 - trans

    def head_pixels(self, T_camera_head: Float[Tensor, "4 4"]) -> Int64[Tensor, "k 2"]:
        """Pixels inside the projected box of all occupied cells."""
        shape = self.shape
        lower, upper = self.occupancy.bounds()
        corners = torch.cartesian_prod(*torch.stack((lower, upper), 1))
        seen = transform_points(T_camera_head, corners)
        xy = project(seen, shape.focal_length, shape.height, shape.width)
        x0, y0 = xy.amin(0).floor().long().clamp(min=0).tolist()
        x1, y1 = xy.amax(0).ceil().long().tolist()
        n_rows, n_columns = max(min(y1, shape.height) - y0, 0), max(min(x1, shape.width) - x0, 0)
        if (upper <= lower).any():
            n_rows = 0
        first = torch.tensor((x0, y0), device=lower.device)
        return pixel_grid(n_rows, n_columns, lower.device) + first

    def torso_points(self, pixels: Int64[Tensor, "k 2"]) -> Float[Tensor, "k 2"]:
        """Centres in [-1, 1] of pixels (x, y)."""
        size = torch.tensor((self.shape.width, self.shape.height), device=pixels.device)
        return (pixels + 0.5) * (2 / size) - 1

    def render_torso(
        self,
        pixels: Int64[Tensor, "k 2"],
        T_camera_head: Float[Tensor, "4 4"] | Float[Tensor, "k 4 4"],
        code: Float[Tensor, "#k n_code"],
    ) -> tuple[Float[Tensor, "k 3"], Float[Tensor, "k"], Float[Tensor, "k 2"]]:
        """Torso rgbs, alpha and offset at pixels."""
        return self.torso(self.torso_points(pixels), T_camera_head, self.shape.focal_ratio, code)

    @torch.no_grad()
    def hear(
        self,
        audio_features: Float[Tensor, "frames features window"],
        is_silent: Bool[np.ndarray, "frames"],
        audio_frames: Int[np.ndarray, "k"],
        T_camera_head: Float[Tensor, "k 4 4"],
        fps: float,
        options: SpeakingOptions,
    ) -> Float[Tensor, "k n_mouth"]:
        """``Moment.mouth`` of a speech: mouth shapes, or f_l itself for ``audio``.

        Arguments as of :func:`mouth.speaking.spoken_shapes`.
        """
        if self.shape.lip_feature == "audio":
            frames = torch.as_tensor(audio_frames, device=audio_features.device)
            features = self.lip_features(audio_features, frames)
            return smooth_causally(features, options.lip_smoothing)
        return spoken_shapes(
            self.ear, audio_features, is_silent, audio_frames, T_camera_head, fps, options
        )

    @torch.no_grad()
    def picture(
        self, moment: Moment, behind: Float[Tensor, "height width 3"] | None = None
    ) -> tuple[Float[Tensor, "height width 3"], Float[Tensor, "height width"]]:
        """Picture in [0, 1] and head opacity of a moment.

        Args:
            behind: in [0, 1], shown behind the head (mode ``head``); None for
                our own torso over our own background (mode ``portrait``).
        """
        lip = moment.mouth
        if self.shape.lip_feature == "mouth_shape":
            lip = self.mouth_to_lip(lip)
        return self.render_frame(moment.T_camera_head, lip, moment.expression, behind)

    @torch.no_grad()
    def render_frame(
        self,
        T_camera_head: Float[Tensor, "4 4"],
        lip_feature: Float[Tensor, "n_lip"],
        expression_feature: Float[Tensor, "n_expression"],
        behind: Float[Tensor, "height width 3"] | None = None,
    ) -> tuple[Float[Tensor, "height width 3"], Float[Tensor, "height width"]]:
        """As :meth:`picture`, told f_l."""
        shape = self.shape
        head_code, torso_code = self.unseen_codes()
        if behind is None:
            picture = self._torso_over_background(T_camera_head, torso_code)
        else:
            picture = behind.clone()
        opacity = picture.new_zeros(shape.height, shape.width)
        condition = Condition(lip_feature[None], expression_feature[None], head_code)
        for pixels in self.head_pixels(T_camera_head).split(self.chunk_rays):
            rays = pixel_rays(T_camera_head, shape.focal_length, shape.height, shape.width, pixels)
            colours, opacities = self.see_head(*rays, condition)
            x, y = pixels.unbind(-1)
            picture[y, x] = colours + (1 - opacities)[:, None] * picture[y, x]
            opacity[y, x] = opacities
        return picture.clamp(0, 1), opacity

    def _torso_over_background(self, T_camera_head: Tensor, code: Tensor) -> Tensor:
        picture = self.background.clone()
        pixels = pixel_grid(self.shape.height, self.shape.width, picture.device)
        pixels = pixels[self.alpha_grid.covers(self.torso_points(pixels))]
        for part in pixels.split(self.chunk_rays):
            rgbs, torso_alpha, _ = self.render_torso(part, T_camera_head, code)
            x, y = part.unbind(-1)
            torso_alpha = torso_alpha[:, None]
            picture[y, x] = torso_alpha * rgbs + (1 - torso_alpha) * picture[y, x]
        return picture
