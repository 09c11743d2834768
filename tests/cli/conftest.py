"""Files that the command line works on."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile

from streamer.audio.chunks import SAMPLE_RATE as RATE
from streamer.models import checkpoint


@pytest.fixture(scope="session")
def model_file(local_model, tmp_path_factory):
    """A model of ours with a decision threshold."""
    path = tmp_path_factory.mktemp("cli") / "model.safetensors"
    checkpoint.save(path, local_model)
    return path


@pytest.fixture(scope="session")
def clips(voice, tmp_path_factory):
    """2.5 s of a voice, the same twice as loud, and noise."""
    folder = tmp_path_factory.mktemp("clips")
    noise = 0.1 * np.random.default_rng(0).standard_normal(2 * RATE)
    contents = {"voice": voice[0, :40_000], "loud": 2 * voice[0, :40_000], "noise": noise}
    for name, samples in contents.items():
        soundfile.write(folder / f"{name}.wav", samples, RATE, subtype="FLOAT")
    return folder / "voice.wav", folder / "loud.wav", folder / "noise.wav"
