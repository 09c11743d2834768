"""What all tests share: devices, and small models with seeded weights."""

from __future__ import annotations

import os

import pytest
import seeded
import torch
from hypothesis import settings

from streamer.models.architecture import Architecture
from streamer.models.campplus.architecture import CamPlusPlusArchitecture
from streamer.models.campplus.convert import of_the_past
from streamer.models.campplus.network import CamPlusPlus
from streamer.models.model import Model, ModelCard
from streamer.models.xvector import XVectorSincNet

# What whoever runs the tests has set is theirs.
os.environ["STREAMER_CONFIG"] = os.devnull
# A deadline for one example measures how busy the machine is, not the code.
settings.register_profile("streamer", deadline=None)
settings.load_profile("streamer")

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


@pytest.fixture(scope="session", autouse=True)
def _threads():
    # One: test processes run side by side.
    torch.set_num_threads(1)


@pytest.fixture(params=DEVICES)
def device(request):
    """Every device that there is."""
    return str(request.param)


def seeded_model(architecture: Architecture, card: ModelCard) -> Model:
    """A model with seeded weights: its embeddings mean nothing, and differ from audio to audio."""
    network = XVectorSincNet(architecture)
    state = network.state_dict()
    weights = seeded.seeded_weights({name: tuple(tensor.shape) for name, tensor in state.items()})
    network.load_state_dict(state | {name: torch.from_numpy(value) for name, value in weights.items()})
    return Model(network, card)


@pytest.fixture(scope="session")
def pyannote_model():
    """The architecture of pyannote/embedding, with the weights of the golden vectors."""
    return seeded_model(Architecture(dimension=seeded.DIMENSION), ModelCard("seeded-pyannote"))


@pytest.fixture(scope="session")
def local_model():
    """The architecture of our own weights: each frame depends on its receptive field alone."""
    architecture = Architecture(front="log", norm="batch", dimension=32, attention=True, speech_head=True)
    return seeded_model(architecture, ModelCard("seeded-local", threshold=0.5, licence="MIT"))


@pytest.fixture(scope="session")
def campplus():
    """CAM++ as published, with its weights."""
    return Model.from_pretrained("campplus")


@pytest.fixture(scope="session")
def campplus_past(campplus):
    """CAM++ of the past as its training begins, with something expected everywhere and a head that hears overlaps of no
    kind."""
    network = CamPlusPlus(CamPlusPlusArchitecture(context="past", heard_hz=6900, attention=True, overlap=True))
    state = of_the_past(campplus.network.state_dict(), 6900)
    generator = torch.Generator().manual_seed(0)
    for name, tensor in network.overlap.state_dict().items():
        state[f"overlap.{name}"] = 0.1 * torch.randn(tensor.shape, generator=generator)
    for name in state:
        if name.endswith((".expected", "attention.weight")):
            state[name] = 0.1 * torch.rand(state[name].shape, generator=generator)
    network.load_state_dict(state)
    return Model(network, ModelCard("begun"))


@pytest.fixture(scope="session", params=["window norms", "frame local"])
def any_model(request, pyannote_model, local_model):
    """Both kinds of model, one after the other."""
    return pyannote_model if request.param == "window norms" else local_model


@pytest.fixture(scope="session")
def voice():
    """(1, samples) float32 at 16 kHz: 5 s of something like a voice."""
    return seeded.seeded_audio(5 * seeded.SAMPLE_RATE)
