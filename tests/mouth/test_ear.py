"""The ear on sounds whose meaning is known."""

from __future__ import annotations

import numpy as np
import torch

from wildtalker_core.mouth.ear import Ear, fit_kernel


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
    ear = Ear(12, 16, 2, 300)
    ear.standardise(features[frames])
    ear.remember(ear.describe(features, frames), shapes[frames], 1.0, 0.3)
    heard = ear.shapes(features, torch.arange(310, 400))
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
        ear = Ear(12, 16, 1, 390)
        figures = ear.fit(
            windows_of(late, 0.3, 5), torch.zeros(420, 3), shapes,
            torch.ones(1), np.arange(10, 400),
        )  # fmt: skip
        assert figures["delay_frames"] == delay == ear.delay.item()


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

    def error(ear: Ear, told: torch.Tensor | None) -> float:
        guess = ear.shapes(features, test, told)
        return ((guess - shapes[test]).square().mean() / shapes[test].var()).item()

    ear, deaf = Ear(12, 16, 1, len(train)), Ear(12, 16, 1, len(train))
    figures = ear.fit(features, turns, shapes, torch.ones(1), train)
    deaf.fit(
        features, torch.zeros_like(turns), shapes, torch.ones(1),
        train,
    )  # fmt: skip
    assert figures["turn_weight"] > 0
    slope = ear.turn_slope[:, 0] / ear.turn_scale
    torch.testing.assert_close(slope, torch.tensor([12.0, 0, 0]), atol=1.5, rtol=0)
    assert error(ear, turns[test]) < 0.5 * error(deaf, turns[test])
    torch.testing.assert_close(
        ear.shapes(features, test), ear.shapes(features, test, ear.turn_mean.expand(80, 3))
    )


def test_unknown_sound_gives_the_mean_shape():
    ear = Ear(12, 16, 1, 50)
    features = windows_of(torch.randn(50), 0.1, 2)
    frames = torch.arange(50)
    ear.standardise(features)
    shapes = torch.randn(50, 1) + 4
    ear.remember(ear.describe(features, frames), shapes, 1.0, 0.1)
    strange = ear.shapes(features + 1000, frames)
    torch.testing.assert_close(strange, shapes.mean().expand(50, 1))


def test_kernel_regression_without_noise_goes_through_its_points():
    points = torch.randn(20, 3, dtype=torch.float64)
    wanted = torch.randn(20, 2, dtype=torch.float64)
    kernel = Ear.kernel(points, points, 1.0)
    mean, coefficients = fit_kernel(kernel, wanted, 1e-10)
    torch.testing.assert_close(mean + kernel @ coefficients, wanted, atol=1e-5, rtol=1e-5)
