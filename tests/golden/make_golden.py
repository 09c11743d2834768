"""Record the embeddings of pyannote.audio's own network and `Inference`, for tests/golden/pyannote.npz.

Run it in an environment of its own, from the root of the repository:

    python -m venv /tmp/pyannote && . /tmp/pyannote/bin/activate
    pip install torch==2.13.0 numpy scipy
    pip install --no-deps pyannote-audio==4.0.7 torchaudio==2.11.0
    find "$VIRTUAL_ENV" -path '*torchaudio/lib/*.so' -delete           # built for CUDA; nothing here needs them
    pip install lightning einops asteroid-filterbanks pyannote-core pyannote-database pyannote-pipeline \
        pyannote-metrics pytorch-metric-learning torch-audiomentations torchmetrics opentelemetry-api \
        opentelemetry-sdk opentelemetry-exporter-otlp matplotlib pyannoteai-sdk safetensors huggingface_hub rich
    PYANNOTE_METRICS_ENABLED=0 PYTHONPATH=. python -W ignore tests/golden/make_golden.py

It also shows that the state dicts go both ways with strict=True, which the file written stands for.
"""

from __future__ import annotations

import json
import platform
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parent))

import seeded
from pyannote.audio import Inference
from pyannote.audio.core.task import Problem, Resolution, Specifications
from pyannote.audio.models.embedding import XVectorSincNet
from pyannote.core import Segment

from streamer.models.architecture import Architecture
from streamer.models.xvector import XVectorSincNet as OurXVectorSincNet


def main() -> None:
    torch.set_num_threads(2)
    network = XVectorSincNet(dimension=seeded.DIMENSION)
    network.specifications = Specifications(
        problem=Problem.REPRESENTATION, resolution=Resolution.CHUNK, duration=3.0, classes=["speaker"]
    )
    network.eval()
    state = network.state_dict()
    weights = seeded.seeded_weights({name: tuple(tensor.shape) for name, tensor in state.items()})
    network.load_state_dict(state | {name: torch.from_numpy(value) for name, value in weights.items()}, strict=True)

    ours = OurXVectorSincNet(Architecture(dimension=seeded.DIMENSION))
    ours.load_state_dict(network.state_dict(), strict=True)
    network.load_state_dict(ours.state_dict(), strict=True)

    golden: dict[str, np.ndarray] = {}
    for name in seeded.COMPUTED:
        golden[f"filterbank/{name}"] = state[f"sincnet.conv1d.0.filterbank.{name}"].numpy()
    golden["filterbank/filters"] = network.sincnet.conv1d[0].filterbank.filters().detach().numpy()[::8]
    for num_samples in seeded.WHOLE_SAMPLES:
        golden[f"whole/{num_samples}"] = Inference(network, window="whole")(file(num_samples))
    for name, (num_samples, duration, step) in seeded.SLIDING.items():
        result = Inference(network, window="sliding", duration=duration, step=step)(file(num_samples))
        window = result.sliding_window
        golden[f"sliding/{name}"] = result.data
        golden[f"sliding/{name}/window"] = np.array([window.start, window.duration, window.step])
    for name, spans in seeded.CROPS.items():
        segments = [Segment(*span) for span in spans]
        chunk = segments[0] if len(segments) == 1 else segments
        golden[f"crop/{name}"] = Inference(network, window="whole").crop(file(seeded.CROP_SAMPLES), chunk)
        result = Inference(network, window="sliding", duration=3.0, step=1.0).crop(file(seeded.CROP_SAMPLES), chunk)
        golden[f"crop-sliding/{name}"] = result.data
        golden[f"crop-sliding/{name}/start"] = np.array(result.sliding_window.start)
    pooling = {name: torch.from_numpy(value) for name, value in seeded.seeded_pooling().items()}
    with torch.inference_mode():
        for name in ("weights", "by_speaker"):
            golden[f"pooling/{name}"] = network(pooling["waveforms"], weights=pooling[name]).numpy()
    packages = ("pyannote-audio", "pyannote-core", "asteroid-filterbanks", "torch", "numpy")
    versions = {name: version(name) for name in packages} | {"python": platform.python_version()}
    golden["versions"] = np.array(json.dumps(versions))
    np.savez_compressed(Path(__file__).parent / "pyannote.npz", **golden)


def file(num_samples: int) -> dict[str, object]:
    return {"waveform": torch.from_numpy(seeded.seeded_audio(num_samples)), "sample_rate": seeded.SAMPLE_RATE}


if __name__ == "__main__":
    main()
