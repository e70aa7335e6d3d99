"""The ear: kernel ridge regression from audio windows to the mouth's shape (ours).

The peers let the picture's error alone teach an audio network what a sound looks like; from a
minute of speech it then rather learns the minute by heart. Here what can be heard at all is first
learnt from landmarks, and only that reaches a renderer. A minute of one person's speech is too
little for a network that starts from nothing, and enough for a smooth interpolation between sounds
that were seen: the shape at a frame is a weighted mean of the training frames' shapes, with the
weights of a Gaussian process. On real clips of 20 and 60 seconds it hears more than a linear
regression (docs/portrait.md).

Where the features hold a speech encoder's states behind log-mel (``speech.whisper_features``), two
sounds are alike if both say so: the kernel is the product of theirs.

What no sound tells but the head's pose does (lips are not flat, and a nodding head opens its mouth)
is a linear part of the same regression: its kernel is added to that of the sound.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, Int64
from torch import Tensor, nn

from wildtalker_core.mouth.kernel_ridge import choose, fit_kernel

#: Principal components kept of a spectrum, and parts that each frame's window is cut into, of which
#: the middle half is used (the rest is seen in the neighbours' windows).
N_COMPONENTS, N_PARTS = 32, 8
#: Frames that a description looks at on either side, and the spread of their weight: what is said
#: now counts most (measured, docs/portrait.md).
CONTEXT_FRAMES, SPREAD_FRAMES = 5, 2.0
#: Channels of log-mel, and widths of Whisper's states, of which one may lie behind it.
N_MELS, STATE_WIDTHS = 80, (384, 512, 768, 1024, 1280)
#: Principal components kept of states; they are not whitened (chosen by benchmarks/hearing.py).
N_STATE_COMPONENTS = 64

Windows = Float[Tensor, "n features window"]

_ANY_AHEAD = 10**6
#: The choice is made on this many frames at most: its cost grows with their third power.
_MOST_COMPARED = 2000
#: So many frames at most are remembered as they sound in noise, too; evenly chosen.
_MOST_NOISY = 2000


def n_remembered(n_frames: int, in_noise: bool) -> int:
    """Windows that an ear remembers of training frames, those in noise among them.

    >>> n_remembered(500, False), n_remembered(500, True), n_remembered(7500, True)
    (500, 1000, 9375)
    """
    return n_frames + (len(range(0, n_frames, _noisy_step(n_frames))) if in_noise else 0)


def _noisy_step(n_frames: int) -> int:
    return max(1, -(-n_frames // _MOST_NOISY))


def _principal(
    values: Float[Tensor, "n d"], n_components: int, whitening: float
) -> Float[Tensor, "{n_components} d"]:
    """The first principal directions of values, scaled.

    The mean square of ``values @ directions.T`` is 1.

    Args:
        whitening: 0 leaves each component its spread, 1 takes it away.
    """
    _, spread, directions = torch.linalg.svd(values - values.mean(0), full_matrices=False)
    n = min(n_components, len(spread))
    spread = spread[:n] / len(values) ** 0.5
    scaled = directions[:n] / spread[:, None].clamp_min(1e-3) ** whitening
    scaled = scaled / (spread ** (2 - 2 * whitening)).mean() ** 0.5
    return F.pad(scaled, (0, 0, 0, n_components - n))


class Ear(nn.Module):
    """Audio features of a clip -> mouth shapes of its frames. Its tensors are all that it knows.

    Args:
        n_features, window: of the audio features [frames, features, window].
        n_shapes: numbers that describe the mouth.
        n_frames: windows of training frames that are remembered (``n_remembered``).
    """

    state_components: Float[Tensor, "components states"]
    mean: Float[Tensor, "features"]
    scale: Float[Tensor, "features"]
    components: Float[Tensor, "components spectral"]
    turn_mean: Float[Tensor, "3"]
    turn_scale: Float[Tensor, "3"]
    known: Float[Tensor, "windows d"]
    coefficients: Float[Tensor, "windows shapes"]
    turn_slope: Float[Tensor, "3 shapes"]
    mean_shape: Float[Tensor, "shapes"]
    rest: Float[Tensor, "shapes"]
    sharpness: Float[Tensor, ""]
    delay: Int64[Tensor, ""]
    ahead: Int64[Tensor, ""]

    def __init__(self, n_features: int, window: int, n_shapes: int, n_frames: int) -> None:
        super().__init__()
        if window % N_PARTS:
            raise ValueError(f"the window is cut into {N_PARTS} parts: {window} does not divide")
        #: Channels of states behind log-mel.
        self.n_states = n_features - N_MELS if n_features - N_MELS in STATE_WIDTHS else 0
        n_spectral = n_features - self.n_states
        n_components = min(N_COMPONENTS, n_spectral)
        n_around = 2 * CONTEXT_FRAMES + 1
        n_described = n_around * (N_PARTS // 2 * n_components)
        if self.n_states:
            n_described += n_around * N_STATE_COMPONENTS
            self.register_buffer("state_components", torch.zeros(N_STATE_COMPONENTS, self.n_states))
        self.register_buffer("mean", torch.zeros(n_features))
        self.register_buffer("scale", torch.ones(n_features))
        self.register_buffer("components", torch.zeros(n_components, n_spectral))
        self.register_buffer("turn_mean", torch.zeros(3))
        self.register_buffer("turn_scale", torch.ones(3))
        self.register_buffer("known", torch.zeros(n_frames, n_described))
        self.register_buffer("coefficients", torch.zeros(n_frames, n_shapes))
        self.register_buffer("turn_slope", torch.zeros(3, n_shapes))
        self.register_buffer("mean_shape", torch.zeros(n_shapes))
        self.register_buffer("rest", torch.zeros(n_shapes))
        self.register_buffer("sharpness", torch.ones(()))
        self.register_buffer("delay", torch.zeros((), dtype=torch.int64))
        self.register_buffer("ahead", torch.tensor(_ANY_AHEAD))

    def standardise(
        self, audio_features: Windows, turns: Float[Tensor, "frames 3"] | None = None
    ) -> None:
        """Take the statistics of training frames as the unit; ``turns`` as in :meth:`fit`."""
        if turns is not None:
            self.turn_mean.copy_(turns.mean(0))
            # ASSUME a head that turns by less than a tenth of a degree does not turn.
            self.turn_scale.copy_(turns.std(0).clamp_min(2e-3))
        self.mean.copy_(audio_features.mean((0, 2)))
        self.scale.copy_(audio_features.std((0, 2)).clamp_min(1e-3))
        spectra, states = self._parts(audio_features)
        # Half-way to whitening: quiet components speak, noise does not shout.
        self.components.copy_(_principal(spectra.flatten(0, 1), len(self.components), 0.5))
        if states is not None:
            self.state_components.copy_(_principal(states, N_STATE_COMPONENTS, 0.0))

    def _parts(self, windows: Tensor) -> tuple[Tensor, Tensor | None]:
        """Windows [n, features, window], standardised: what is described of them.

        Returns:
            middle spectra [n, parts / 2, spectral features]; states [n, width] (the mean of the
            window's middle quarter), None where there are none.
        """
        scaled = (windows - self.mean[:, None]) / self.scale[:, None]
        parts = F.avg_pool1d(scaled, windows.shape[-1] // N_PARTS).transpose(1, 2)
        middle = parts[:, N_PARTS // 4 : -(N_PARTS // 4)]
        if not self.n_states:
            return middle, None
        n_spectral = self.components.shape[1]
        states = parts[:, N_PARTS // 2 - 1 : N_PARTS // 2 + 1, n_spectral:].mean(1)
        return middle[..., :n_spectral], states

    def describe(
        self, audio_features: Windows, frames: Int64[Tensor, "k"], delay: int | None = None
    ) -> Float[Tensor, "k d"]:
        """Descriptions of frames of a clip.

        Args:
            delay: frames by which the sound comes after the picture that it belongs to. Lips move
                before they are heard, and clips are rarely in sync to the frame. None for the
                delay that was fitted.

        Beyond the clip's ends its first and last windows are repeated.
        """
        spectra, states = self._parts(audio_features)
        around = torch.arange(-CONTEXT_FRAMES, CONTEXT_FRAMES + 1, device=frames.device)
        nearness = (-0.5 * (around / SPREAD_FRAMES).square()).exp()
        nearness = nearness / nearness.square().mean().sqrt()  # the mean square stays 1
        shift = self.delay if delay is None else delay
        index = frames[:, None] + torch.minimum(around + shift, self.ahead)
        index = index.clamp(0, len(audio_features) - 1)
        described = ((spectra @ self.components.T)[index] * nearness[:, None, None]).flatten(1)
        if states is None:
            return described
        of_states = ((states @ self.state_components.T)[index] * nearness[:, None]).flatten(1)
        # Each counts half, however many numbers it has.
        n = described.shape[1] + of_states.shape[1]
        weighed = [(n / (2 * x.shape[1])) ** 0.5 * x for x in (described, of_states)]
        return torch.cat(weighed, 1)

    @staticmethod
    def kernel(
        a: Float[Tensor, "n d"], b: Float[Tensor, "m d"], sharpness: float | Float[Tensor, ""]
    ) -> Float[Tensor, "n m"]:
        """Similarity of descriptions: 1 for equal ones, falling to 0."""
        return (-sharpness * torch.cdist(a, b).square() / a.shape[-1]).exp()

    def turned(self, turns: Float[Tensor, "k 3"]) -> Float[Tensor, "k 3"]:
        """Rotation vectors in units of their spread in training."""
        return (turns - self.turn_mean) / self.turn_scale

    def fit(
        self,
        audio_features: Windows,
        turns: Float[Tensor, "all_frames 3"],
        shapes: Float[Tensor, "all_frames shapes"],
        variances: Float[Tensor, "shapes"],
        frames: Int[np.ndarray, "training"],
        ahead: int | None = None,
        noisy: Float[Tensor, "k features window"] | None = None,
    ) -> dict[str, float]:
        """Learn from training frames; :func:`kernel_ridge.choose` chooses the four numbers.

        Args:
            turns: rotation vectors of the head, radians.
            variances: what an error of one unit costs (``MouthBasis.variances``).
            frames: training frames' numbers, in time order.
            ahead: how many frames behind the one that is asked for may be listened to, delay and
                all; None for any. For live speech.
            noisy: features of the same frames in noise. They are remembered too, and
                choose nothing.

        Returns:
            the part of the mouth's motion that cross-validation leaves unexplained, and the choice.
        """
        remembered = torch.as_tensor(np.ascontiguousarray(frames), device=shapes.device)
        self.ahead.fill_(_ANY_AHEAD if ahead is None else ahead)
        in_noise = remembered[:: _noisy_step(len(remembered))]
        if noisy is None:
            noisy, in_noise = audio_features, in_noise[:0]
        unit = torch.cat((audio_features[remembered], noisy[in_noise]))
        self.standardise(unit, turns[remembered])
        compared = remembered[:_MOST_COMPARED]
        turned = self.turned(turns[compared])

        def likeness(delay: int) -> Tensor:
            heard = self.describe(audio_features, compared, delay)
            return self.kernel(heard, heard, 1.0)

        choice = choose(likeness, turned @ turned.T, shapes[compared], variances)
        delay = choice.delay_frames
        clear = self.describe(audio_features, remembered, delay)
        known = torch.cat((clear, self.describe(noisy, in_noise, delay)))
        frame = torch.cat((remembered, in_noise))
        self.remember(
            known, shapes[frame], choice.sharpness, choice.noise, delay, turns[frame],
            choice.turn_weight,
        )  # fmt: skip
        return choice.figures()

    def remember(
        self,
        known: Float[Tensor, "windows d"],
        wanted: Float[Tensor, "windows shapes"],
        sharpness: float,
        noise: float,
        delay: int = 0,
        turns: Float[Tensor, "windows 3"] | None = None,
        turn_weight: float = 0.0,
    ) -> None:
        """Remember descriptions (of ``delay``) and shapes.

        Args:
            turns: rotation vectors of the head; None if they tell nothing.
            turn_weight: of their linear kernel beside that of the sound.
        """
        kernel = self.kernel(known, known, sharpness)
        turned = kernel.new_zeros(len(known), 3) if turns is None else self.turned(turns)
        mean, coefficients = fit_kernel(kernel + turn_weight * turned @ turned.T, wanted, noise)
        self.known.copy_(known)
        self.coefficients.copy_(coefficients)
        self.turn_slope.copy_(turn_weight * turned.T @ coefficients)
        self.mean_shape.copy_(mean)
        self.sharpness.fill_(sharpness)
        self.delay.fill_(delay)

    def shapes(
        self,
        audio_features: Windows,
        frames: Int64[Tensor, "k"],
        turns: Float[Tensor, "k 3"] | None = None,
        gain: float = 1.0,
        silence: Float[Tensor, "k"] | None = None,
    ) -> Float[Tensor, "k shapes"]:
        """The shapes that a renderer is told.

        Args:
            frames: of the clip's sound.
            turns: rotation vectors of the head that is shown, radians; None: its mean pose.
            gain: factor of what the sound adds to the mean shape.
            silence: in [0, 1]: how far the mouth is drawn to its rest.
        """
        described = self.describe(audio_features, frames)
        heard = self.kernel(described, self.known, self.sharpness) @ self.coefficients
        shapes = self.mean_shape + gain * heard
        if turns is not None:
            shapes = shapes + self.turned(turns) @ self.turn_slope
        if silence is not None:
            shapes = torch.lerp(shapes, self.rest.expand_as(shapes), silence[:, None])
        return shapes
