"""Audio attention and audio codes."""

from __future__ import annotations

import torch

from wildtalker_core.nerf.face_sync import ATTENTION_FRAMES, AudioAttention, AudioEncoder


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
