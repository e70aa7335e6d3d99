"""Options of training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from wildtalker_core.nerf.options import ModelSection
from wildtalker_core.option_types import Count, Natural, NotNegative, Positive, Share, limits


@dataclass(frozen=True)
class Optimiser:
    """AdamW and its course."""

    steps: Natural = 100000
    """Steps of the stage in all (100000 in the paper's SyncTalk for the head); 0 leaves it out."""
    final_factor: Annotated[float, limits(most=1, above=0)] = 0.5
    """Learning rates end at this part of their peak (0.5, SyncTalk)."""
    beta1: Annotated[float, limits(0, below=1)] = 0
    """AdamW's first moment (0, ER-NeRF)."""
    beta2: Annotated[float, limits(0, below=1)] = 0.99
    """AdamW's second moment (0.99, ER-NeRF)."""
    epsilon: Positive = 1e-8
    """AdamW's epsilon (1e-8, ER-NeRF; 1e-15, RAD-NeRF)."""
    ema_decay: Annotated[float, limits(0, below=1)] = 0.95
    """Of the averaged weights that are kept (0.95, RAD-NeRF)."""
    checkpoint_every: Count = 500
    """Steps between checkpoints."""


@dataclass(frozen=True)
class FieldOptimiser(Optimiser):
    """The same with the learning rates of a radiance field."""

    lr_grids: Positive = 0.01
    """Peak learning rate of hash tables (1e-2, ER-NeRF)."""
    lr_nets: Positive = 0.001
    """Peak learning rate of networks and codes (1e-3, ER-NeRF)."""
    audio_attention_factor: Positive = 5
    """Times lr_nets for the attention over neighbouring frames, with lip_feature audio (5,
    RAD-NeRF)."""
    audio_attention_decay: NotNegative = 1e-4
    """Weight decay of the same (1e-4, ER-NeRF)."""


@dataclass(frozen=True)
class RayOptions:
    """What a step of a radiance field is made of."""

    rays_per_step: Annotated[int, limits(16)] = 65536
    """Rays (head, lips) or pixels (torso) of a step (65536, SyncTalk)."""
    frames_per_step: Count = 1
    """Frames that share the rays of a step (1, all peers)."""
    photometric: Literal["squared", "absolute"] = "squared"
    """Error of a ray's colour: squared (Eq. 5, RAD-NeRF, ER-NeRF), absolute (SyncTalk's code)."""
    opacity_entropy: NotNegative = 1e-4
    """Factor of the opacity's binary entropy (1e-4, RAD-NeRF)."""
    occupancy_every: Natural = 16
    """Steps between updates of the occupancy grid (16, RAD-NeRF); 0 for never."""


@dataclass(frozen=True)
class HeadOptions(RayOptions):
    """How the head is trained."""

    lip_share: Annotated[float, limits(0, 0.9)] = 0
    """Part of the rays that go through the lip box (ours; 0 in the peers)."""
    attention_outside: NotNegative = 1e-4
    """Factor of the lip attention seen outside the attention_region, and of the unwanted
    expression_attention; grows over the stage (1e-4, ER-NeRF; 0.1, RAD-NeRF)."""
    attention_region: Literal["face", "lower_face"] = "lower_face"
    """Where speech may act: face (its box; RAD-NeRF, ER-NeRF), lower_face (its box below the nose
    tip; SyncTalk)."""
    expression_attention: Literal["none", "product", "lower_face"] = "none"
    """What of the attention to the expression is unwanted: none (RAD-NeRF), product (with the lip
    attention, in the face; ER-NeRF), lower_face (all of it there; SyncTalk)."""
    uncertainty: NotNegative = 0
    """Factor of the uncertainty's loss (1, ER-NeRF; 0.01, SyncTalk; needs n_uncertainty). Above 0,
    uncertain rays also count for more. Off in the peers' lips stage."""
    smoothness: NotNegative = 0
    """Factor of the difference of attentions and uncertainty between neighbouring positions (1e-5,
    ER-NeRF). Only in the head stage."""
    expression_noise: NotNegative = 0
    """Half width of uniform noise on the expression while training (0.05, ER-NeRF)."""
    lambda_patches: NotNegative = 0
    """Factor of the perceptual loss on random patches, in the lips stage on the steps that are not
    the lips' (0.1, ER-NeRF and SyncTalk; needs `perceptual`); 0 takes scattered rays."""
    face_patch_size: Annotated[int, limits(16)] = 32
    """Side of these patches, pixels (32, ER-NeRF; 64, SyncTalk)."""
    hide: bool = False
    """Skip samples that lie hidden behind the visible surface (ours; faster)."""


@dataclass(frozen=True)
class LipPatch:
    """The patch that the perceptual loss of Eq. 7 compares."""

    patch_size: Annotated[int, limits(16)] = 64
    """Side of the lip patch, pixels (64, SyncTalk); used in the lips stage."""


@dataclass(frozen=True)
class PerceptualWeight:
    """How much it counts."""

    lambda_lpips: NotNegative = 0.01
    """Factor of the perceptual loss in Eq. 7 (0.01, ER-NeRF and SyncTalk)."""


@dataclass(frozen=True)
class StaticOptions:
    """What teaches the torso (Eq. 6)."""

    static_weight: Literal["one_minus_mask", "literal", "none"] = "one_minus_mask"
    """Weight of torso pixels from the transient mask M: one_minus_mask (the paper's text), literal
    (its Eq. 6 as printed, weight M), none (the ablation)."""
    torso_reference: Literal["hand_free", "frames"] = "hand_free"
    """What the torso is trained on: hand_free frames (the paper) or the frames as filmed. The
    hand-free frames come out of the transient mask, so an ablation of the mask goes without
    both."""


@dataclass(frozen=True)
class LipOptions(LipPatch, PerceptualWeight):
    """How the lips are trained, besides as the head."""


@dataclass(frozen=True)
class TorsoOptions(StaticOptions, RayOptions):
    """How the torso is trained."""


@dataclass(frozen=True)
class FieldSection(LipPatch, HeadOptions, FieldOptimiser):
    """First stage, the head (Eq. 5)."""


@dataclass(frozen=True)
class SplatLoss:
    """How Gaussians are trained, beside what they share with a radiance field."""

    lr_means: Positive = 0.04
    """Adam's rate of the Gaussians' places, pixels a step (ours)."""
    lr_colours: Positive = 0.01
    """Adam's rate of colours in [0, 1] (ours)."""
    lr_opacities: Positive = 0.05
    """Adam's rate of opacities, logits (0.05, 3DGS)."""
    lr_scales: Positive = 0.01
    """Adam's rate of the logarithms of the spreads (ours; 0.005 in 3DGS)."""
    lr_turns: Positive = 0.01
    """Adam's rate of quaternions (ours; 0.001 in 3DGS)."""
    lr_bases: NotNegative = 0.25
    """Rates of the face's bases in units of those of the base values (ours)."""
    lr_soft: NotNegative = 0.25
    """Rates of the bases of neck and torso in the same units (ours)."""
    lambda_dssim: Share = 0.2
    """Share of 1 - SSIM in the photometric loss, the rest is L1 (0.2, 3DGS)."""
    lambda_alpha: NotNegative = 0.5
    """Factor of the squared error of alpha against the person's mask (ours)."""
    lip_weight: NotNegative = 3
    """Factor of the loss in the lip box (ours)."""
    predicted_share: Share = 0.3
    """Part of the steps in which the torso stands where the head's pose says, as it will in frames
    that were not filmed (ours)."""
    basis_decay: NotNegative = 0
    """Weight decay of all bases (ours)."""
    lambda_patches: NotNegative = 0.1
    """Factor of `perceptual` on patches of 96 pixels anywhere on the person; 0 for none (ours; 0.1
    on random patches of the head, ER-NeRF and SyncTalk)."""
    perceptual_from: Share = 0.5
    """Part of the steps after which `perceptual` is added, on the lip patch (Eq. 7; the paper's
    second stage) and on patches of the person."""
    perceptual_every: Count = 4
    """Steps from one to the next of those; its factor grows by as much (ours)."""
    patch_size: Annotated[int, limits(16)] = 64
    """Side of the lip patch, pixels (64, SyncTalk)."""


@dataclass(frozen=True)
class SplatOptions(SplatLoss, StaticOptions, PerceptualWeight):
    """How Gaussians are trained."""


@dataclass(frozen=True)
class SplatSection(SplatLoss, Optimiser):
    """The only stage of `renderer splats` (Eq. 5 and 6 on Gaussians)."""

    n_gaussians: Annotated[int, limits(100)] = 20000
    """About so many, half as far apart on the head as elsewhere; never closer than 1.4 pixels."""
    kernel: Literal["compact", "gaussian"] = "compact"
    """Form of a Gaussian: compact, (1 - q/8)^4, without an exponential and with an end, or
    gaussian, exp(-q/2) (3DGS)."""
    node_spacing: Positive = 0.03
    """Distance of the nodes between which the bases are interpolated, head units (the face is 0.30
    wide); at lips and eyes each Gaussian is a node (ours; Laplacian smoothness and control points
    of deformable Gaussians serve the same end)."""
    n_mouth_shapes: Annotated[int, limits(1, 40)] = 5
    """Components of the mouth's shape, as in `model`."""
    steps: Natural = 2000
    """Optimisation steps, one frame each; 0 leaves the start as it is."""
    final_factor: Annotated[float, limits(most=1, above=0)] = 0.02
    """Learning rates end at this part of their peak (0.01, 3DGS's places)."""
    beta1: Annotated[float, limits(0, below=1)] = 0.9
    """Adam's first moment (0.9, 3DGS)."""
    beta2: Annotated[float, limits(0, below=1)] = 0.99
    """Adam's second moment (0.999 in 3DGS, which trains ten times as long)."""
    epsilon: Positive = 1e-15
    """Adam's epsilon (1e-15, 3DGS)."""
    ema_decay: Annotated[float, limits(0, below=1)] = 0.95
    """Of the averaged weights that are kept (ours)."""


@dataclass(frozen=True)
class Drawing:
    """What draws a portrait, and where."""

    rasteriser: Literal["auto", "torch", "numba", "triton"] = "auto"
    """What draws the Gaussians: torch (plain, anywhere, slow), numba (CPU) or triton (NVIDIA GPU).
    auto is numba on a CPU and triton on a GPU, or torch where Triton is not installed."""
    encoder: Literal["auto", "torch", "numba", "triton", "tinycudann"] = "auto"
    """What computes the hash grids: torch (plain, anywhere), numba (CPU), triton (NVIDIA GPU),
    tinycudann (NVIDIA GPU, built by the user; its portraits open anywhere, but it opens only its
    own). auto is numba on a CPU and triton on a GPU, or torch where Triton is not installed."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Where training and rendering run; auto takes a CUDA device if there is one. mps is Apple's
    GPU, on which nothing has been tried. Networks that score videos use a CUDA device unless it is
    cpu."""


@dataclass(frozen=True)
class TrainSection(Drawing, StaticOptions, PerceptualWeight):
    """From a scene to a portrait; values of `preset` (config/presets) stand below the user's."""

    preset: str = "fast"
    """Named set of the values below: paper (WildTalker), synctalk, er_nerf, rad_nerf and ad_nerf as
    published (GPU, hours), fast for own videos (about ten minutes on two cores), example (the
    bundled clip), smoke (tests)."""
    renderer: Literal["field", "splats"] = "field"
    """What the portrait is made of: field (the paper's radiance field for the head and 2-D torso;
    sections model, head, lips, torso) or splats (ours: one body of 3-D Gaussians; section
    splats)."""
    mixed_precision: Literal["auto", "off", "float16", "bfloat16"] = "auto"
    """What the small networks compute in: auto is float16 with a scaled loss on a GPU (all peers)
    and off on a CPU; off is float32. Weights, rays and sums are float32 in any case."""
    preview_every: Natural = 1000
    """Steps between pictures in TensorBoard: an unseen frame, and right of it the portrait's; 0 for
    none."""
    threads: Count = 1
    """CPU threads of one training job. One scales best when several methods train side by side."""
    seed: Natural = 0
    """Seed of weights and of sampling; same seed, same weights on the CPU."""
    perceptual: Literal["auto", "lpips", "ms_ssim", "none"] = "auto"
    """Perceptual loss on lip patches (Eq. 7): lpips (lpips_backbone is fetched), ms_ssim or none;
    auto is lpips where its weights can be had, else none, as lips.json says."""
    lpips_backbone: str = "weights/alexnet_features.safetensors"
    """File with torchvision's AlexNet weights, for `perceptual lpips`."""
    model: ModelSection = ModelSection()
    head: FieldSection = FieldSection()
    lips: FieldSection = FieldSection(steps=25000, final_factor=0.05)
    """Second stage, the lips (Eq. 7); keys as in `head`."""
    torso: FieldSection = FieldSection(opacity_entropy=0)
    """Third stage, the torso (Eq. 6); keys as in `head`, opacity_entropy is its alpha's."""
    splats: SplatSection = SplatSection()
