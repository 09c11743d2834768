"""The network's shapes and heads."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from streamer.errors import WrongArchitecture
from streamer.models.architecture import Architecture
from streamer.models.xvector import XVectorSincNet


@settings(max_examples=6, deadline=None)
@given(batch=st.integers(1, 2), extra=st.integers(0, 4_000), speakers=st.integers(0, 3), n=st.integers(1, 70))
def test_each_waveform_gives_one_embedding_a_speaker(any_model, batch, extra, speakers, n):
    waveforms = torch.randn(batch, 1, any_model.minimum_samples + extra)
    assert any_model(waveforms).shape == (batch, any_model.dimension)
    weights = torch.rand(batch, speakers, n) if speakers else torch.rand(batch, n)
    expected = (batch, speakers, any_model.dimension) if speakers else (batch, any_model.dimension)
    assert any_model(waveforms, weights).shape == expected


def test_an_embedding_does_not_depend_on_its_batch(any_model):
    waveforms = torch.randn(3, 1, 8_000, generator=torch.Generator().manual_seed(0))
    alone = torch.cat([any_model(waveform[None]) for waveform in waveforms])
    torch.testing.assert_close(any_model(waveforms), alone, rtol=1e-4, atol=1e-4)


def test_weights_of_one_leave_the_attention_as_it_is(local_model):
    waveform = torch.randn(1, 1, 16_000, generator=torch.Generator().manual_seed(0))
    plain = local_model(waveform)
    torch.testing.assert_close(local_model(waveform, torch.ones(1, 10)), plain, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(local_model(waveform, torch.ones(1, 2, 10))[:, 1], plain, rtol=1e-4, atol=1e-5)


def test_the_speech_head_is_on_the_frame_grid(local_model):
    frames = local_model.network.frames(torch.randn(2, 1, 20_000))
    assert frames.speech is not None
    assert frames.speech.shape[:1] == frames.features.shape[:1]
    assert frames.speech.shape[-1] == frames.features.shape[-1]


@pytest.mark.parametrize(
    ("front", "norm", "attention", "speech_head"),
    list(product(["rectified", "log"], ["instance", "batch"], [False, True], [False, True])),
)
def test_every_architecture_can_be_built_and_recorded(front, norm, attention, speech_head):
    architecture = Architecture(front, norm, 16, attention, speech_head)  # type: ignore[arg-type]
    assert Architecture.from_dict(architecture.to_dict()) == architecture
    network = XVectorSincNet(architecture).eval()
    shortest = architecture.grid.num_samples(architecture.minimum_frames)
    assert network(torch.randn(1, 1, shortest)).shape == (1, 16)


def test_pyannotes_network_has_its_number_of_parameters():
    # Counted in pyannote.audio 4.0.7.
    assert sum(parameter.numel() for parameter in XVectorSincNet().parameters()) == 4_346_366


@pytest.mark.parametrize("values", [{"front": "mfcc"}, {"norm": "layer"}, {"dimension": 0}, {"heads": 4}], ids=str)
def test_an_unknown_architecture_is_refused(values):
    with pytest.raises(WrongArchitecture, match=next(iter(values))):
        Architecture.from_dict(values)
