"""The ear on sounds whose meaning is known."""

from __future__ import annotations

import numpy as np
import torch

from wildtalker_core.mouth.ear import N_MELS, Ear, n_remembered
from wildtalker_core.mouth.kernel_ridge import fit_kernel
from wildtalker_core.mouth.learning import sync_warning


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
    for delay in (-4, 0, 3, 9):
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


def test_sound_that_explains_nothing_has_no_delay():
    generator = torch.Generator().manual_seed(8)
    features = torch.randn(300, 12, 16, generator=generator)
    shapes = torch.randn(300, 1, generator=generator)
    ear = Ear(12, 16, 1, 300)
    figures = ear.fit(features, torch.zeros(300, 3), shapes, torch.ones(1), np.arange(300))
    assert figures["delay_frames"] == 0


def test_a_clip_out_of_sync_is_warned_of():
    assert not sync_warning(0.12) and not sync_warning(-0.04)
    assert "240 ms after" in sync_warning(0.24)


def features_with_states(heard_by_mel: torch.Tensor, heard_by_states: torch.Tensor) -> torch.Tensor:
    """[n, 80 + 384, 16]: each part follows its own loudness [n] in some of its channels."""
    generator = torch.Generator().manual_seed(3)
    features = 0.3 * torch.randn(len(heard_by_mel), N_MELS + 384, 16, generator=generator)
    features[:, :40] += heard_by_mel[:, None, None]
    features[:, N_MELS : N_MELS + 40] += 20 * heard_by_states[:, None, None]
    return features


def calm(n: int, seed: int) -> torch.Tensor:
    noise = torch.randn(1, 1, n, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.avg_pool1d(noise, 9, 1, 4)[0, 0] * 3


def test_what_only_states_tell_is_heard_beside_log_mel():
    """Two sounds are alike if both parts say so: of two causes, each part knows one."""
    mel, states = calm(600, 1), calm(600, 2)
    shapes = torch.stack((mel.tanh(), states.tanh()), -1)
    train, test = np.arange(500), torch.arange(515, 590)
    ear = Ear(N_MELS + 384, 16, 2, len(train))
    ear.fit(features_with_states(mel, states), torch.zeros(600, 3), shapes, torch.ones(2), train)
    heard = ear.shapes(features_with_states(mel, states), test)
    for k in (0, 1):
        assert torch.corrcoef(torch.stack((heard[:, k], shapes[test, k])))[0, 1] > 0.8


def test_an_ear_for_live_speech_hears_nothing_behind_its_reach():
    loudness = calm(400, 5)
    features = windows_of(loudness, 0.3, 6)
    ear = Ear(12, 16, 1, 300)
    shapes = torch.roll(loudness, -3)[:, None]  # the picture is three frames early
    ear.fit(features, torch.zeros(400, 3), shapes, torch.ones(1), np.arange(300), ahead=1)
    changed = features.clone()
    changed[352:] = 9.0
    frames = torch.tensor([350, 351])
    heard, other = ear.shapes(features, frames), ear.shapes(changed, frames)
    assert heard[0] == other[0] and heard[1] != other[1]


def test_an_ear_that_was_taught_in_noise_hears_better_in_noise():
    """Noise adds something to all channels, as babble does to all bands."""
    loudness = calm(600, 9)
    clean, drowned = windows_of(loudness, 0.3, 10), calm(600, 11)
    noisy = clean + 1.5 * drowned[:, None, None].abs()
    shapes, turns, train = loudness.tanh()[:, None], torch.zeros(600, 3), np.arange(500)
    test = torch.arange(515, 590)

    def error(noise: torch.Tensor | None) -> float:
        ear = Ear(12, 16, 1, n_remembered(500, noise is not None))
        ear.fit(clean, turns, shapes, torch.ones(1), train, noisy=noise)
        return (ear.shapes(noisy, test) - shapes[test]).square().mean().item()

    assert error(noisy) < 0.7 * error(None)
