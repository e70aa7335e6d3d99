"""Hearing and audio attention on sounds whose meaning is known."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import torch

from wildtalker_core.nerf.face_sync import ATTENTION_FRAMES, AudioAttention, AudioEncoder
from wildtalker_core.nerf.hearing import Hearing, fit_kernel
from wildtalker_core.training.mouth import learn_to_hear


def windows_of(loudness: torch.Tensor, noise: float, seed: int) -> torch.Tensor:
    """Audio features [n, 12, 16] whose first six features follow loudness [n]."""
    generator = torch.Generator().manual_seed(seed)
    features = noise * torch.randn(len(loudness), 12, 16, generator=generator)
    features[:, :6] += loudness[:, None, None]
    return features


def test_hears_what_sound_tells_and_not_what_it_does_not():
    generator = torch.Generator().manual_seed(0)
    steps = torch.randn(400, 1, generator=generator)
    loudness = torch.nn.functional.avg_pool1d(steps.T[None], 9, 1, 4)[0, 0] * 3
    features = windows_of(loudness, 0.3, 1)
    shapes = torch.stack((loudness.tanh(), torch.randn(400, generator=generator)), -1)
    frames = torch.arange(300)
    hearing = Hearing(12, 16, 2, 300)
    hearing.standardise(features[frames])
    hearing.fit(hearing.describe(features, frames), shapes[frames], 1.0, 0.3)
    heard = hearing(features, torch.arange(310, 400))
    truth = shapes[310:]
    correlation = [torch.corrcoef(torch.stack((heard[:, k], truth[:, k])))[0, 1] for k in (0, 1)]
    assert correlation[0] > 0.9
    assert abs(correlation[1]) < 0.35


def test_finds_by_how_much_the_sound_is_late():
    generator = torch.Generator().manual_seed(4)
    steps = torch.randn(1, 1, 420, generator=generator)
    loudness = torch.nn.functional.avg_pool1d(steps, 9, 1, 4)[0, 0] * 3
    shapes = loudness.tanh()[:, None]
    for delay in (-1, 0, 3):
        late = torch.roll(loudness, delay)  # sound i is that of picture i - delay
        hearing = Hearing(12, 16, 1, 390)
        figures = learn_to_hear(
            SimpleNamespace(hearing=hearing), windows_of(late, 0.3, 5), torch.zeros(420, 3), shapes,
            torch.ones(1), np.arange(10, 400),
        )  # fmt: skip
        assert figures["delay_frames"] == delay == hearing.delay.item()


def test_what_the_pose_tells_is_learnt_beside_the_sound():
    generator = torch.Generator().manual_seed(6)
    calm = (
        torch.nn.functional.avg_pool1d(torch.randn(4, 1, 500, generator=generator), 15, 1, 7)[:, 0]
        * 3
    )
    loudness, turns = calm[0], 0.05 * calm[1:].T
    features = windows_of(loudness, 0.3, 7)
    shapes = (loudness.tanh() + 12 * turns[:, 0])[:, None]
    train, test = np.arange(10, 400), torch.arange(410, 490)

    def error(hearing: Hearing, told: torch.Tensor | None) -> float:
        guess = hearing(features, test, told)
        return ((guess - shapes[test]).square().mean() / shapes[test].var()).item()

    hearing, deaf = Hearing(12, 16, 1, len(train)), Hearing(12, 16, 1, len(train))
    figures = learn_to_hear(
        SimpleNamespace(hearing=hearing), features, turns, shapes, torch.ones(1), train
    )
    learn_to_hear(
        SimpleNamespace(hearing=deaf), features, torch.zeros_like(turns), shapes, torch.ones(1),
        train,
    )  # fmt: skip
    assert figures["turn_weight"] > 0
    slope = hearing.turn_slope[:, 0] / hearing.turn_scale
    torch.testing.assert_close(slope, torch.tensor([12.0, 0, 0]), atol=1.5, rtol=0)
    assert error(hearing, turns[test]) < 0.5 * error(deaf, turns[test])
    torch.testing.assert_close(
        hearing(features, test), hearing(features, test, hearing.turn_mean.expand(80, 3))
    )


def test_unknown_sound_gives_the_mean_shape():
    hearing = Hearing(12, 16, 1, 50)
    features = windows_of(torch.randn(50), 0.1, 2)
    frames = torch.arange(50)
    hearing.standardise(features)
    shapes = torch.randn(50, 1) + 4
    hearing.fit(hearing.describe(features, frames), shapes, 1.0, 0.1)
    strange = hearing(features + 1000, frames)
    torch.testing.assert_close(strange, shapes.mean().expand(50, 1))


def test_kernel_regression_without_noise_goes_through_its_points():
    points = torch.randn(20, 3, dtype=torch.float64)
    wanted = torch.randn(20, 2, dtype=torch.float64)
    kernel = Hearing.kernel(points, points, 1.0)
    mean, coefficients = fit_kernel(kernel, wanted, 1e-10)
    torch.testing.assert_close(mean + kernel @ coefficients, wanted, atol=1e-5, rtol=1e-5)


def test_attention_is_a_weighted_mean_of_neighbours():
    attention = AudioAttention(32)
    codes = torch.randn(5, ATTENTION_FRAMES, 32)
    weights = attention.weights(codes)
    assert (weights > 0).all()
    torch.testing.assert_close(weights.sum(-1), torch.ones(5))
    same = codes[:, :1].expand(-1, ATTENTION_FRAMES, -1)
    torch.testing.assert_close(attention(same), codes[:, 0])


def test_audio_code_sees_eight_frames_and_no_more():
    encoder = AudioEncoder(12, 16, 8)
    features = torch.randn(30, 12, 16, requires_grad=True)
    code = encoder(features, torch.tensor([15]))
    gradient = torch.autograd.grad(code.sum(), features)[0].abs().sum((1, 2))
    assert (gradient > 0).nonzero().squeeze(-1).tolist() == list(range(11, 19))


def test_frames_at_the_ends_repeat_the_first_and_last_window():
    encoder = AudioEncoder(12, 16, 8)
    features = torch.randn(6, 12, 16)
    padded = torch.cat((features[:1].expand(4, -1, -1), features, features[-1:].expand(4, -1, -1)))
    torch.testing.assert_close(
        encoder(features, torch.tensor([0, 5])), encoder(padded, torch.tensor([4, 9]))
    )
