"""Speaker networks in ONNX files, as WeSpeaker, 3D-Speaker, sherpa-onnx and others export them; run by onnxruntime.

The shape of a file's input says what it takes: waveforms (batch, samples) or (batch, 1, samples), or Kaldi's log
mel filter banks (batch, frames, bands), with each band's mean subtracted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from streamer.audio.chunks import SAMPLE_RATE
from streamer.errors import CheckpointUnreadable, MissingDependency, WrongArchitecture
from streamer.models.card import Checkpoint, ModelCard
from streamer.models.fbank import GRID, KaldiFilterBank
from streamer.models.grid import FrameGrid

#: The shortest audio that is embedded, in frames of 10 ms: half a second. Files do not declare a minimum.
MINIMUM_FRAMES = 48
#: An axis with more bands is not a filter bank.
MOST_BANDS = 256
#: Kaldi's samples are 16-bit numbers, and so are those of networks trained with its tools.
KALDI_SCALE = 32_768.0


@dataclass(frozen=True, slots=True)
class OnnxDescription:
    """The input and output of a file.

    size: bytes of the file. input, output: names. bands: of the filter bank; 0 for waveforms, and then channel says
    whether they have an axis for their one channel. scale: what samples are multiplied by. batched: whether the file
    takes more than one at a time.
    """

    size: int
    input: str
    output: str
    dimension: int
    bands: int
    channel: bool
    scale: float
    batched: bool

    @property
    def family(self) -> str:
        return "onnx"

    @property
    def grid(self) -> FrameGrid:
        return GRID

    @property
    def minimum_frames(self) -> int:
        return MINIMUM_FRAMES

    @property
    def frame_local(self) -> bool:
        return False

    @property
    def speech_head(self) -> bool:
        return False

    def to_dict(self) -> Mapping[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> OnnxDescription:
        return cls(**values)


class OnnxNetwork(nn.Module):
    """Embeds waveforms (batch, 1, samples) with a file, which is its only tensor; on the CPU, on whatever device they
    are.

    A network made from a description is empty until its state is loaded.
    """

    file: Tensor

    def __init__(self, architecture: OnnxDescription) -> None:
        super().__init__()
        self.architecture = architecture
        self.register_buffer("file", torch.zeros(architecture.size, dtype=torch.uint8))
        self.features = KaldiFilterBank(architecture.bands, scale=architecture.scale) if architecture.bands else None

    @property
    def device(self) -> torch.device:
        return torch.device("cpu")

    @property
    def head(self) -> None:
        return None

    @cached_property
    def _session(self) -> Any:
        return _session(self.file.cpu().numpy().tobytes(), "the model")

    def forward(self, waveforms: Tensor, weights: Tensor | None = None) -> Tensor:
        about = self.architecture
        if self.features is not None:
            heard = self.features(waveforms)
        else:
            heard = waveforms * about.scale if about.channel else waveforms[:, 0] * about.scale
        batches = [heard] if about.batched else heard.split(1)
        found = [self._session.run([about.output], {about.input: batch.numpy()})[0] for batch in batches]
        return torch.from_numpy(np.concatenate(found)).float()


def load(data: bytes, name: str, path: str) -> Checkpoint:
    """Read an ONNX file. `name` is the name of the model, `path` appears in messages.

    Raises CheckpointUnreadable for bytes that are not ONNX, WrongArchitecture for a network with another kind of input
    or output, MissingDependency without onnxruntime.
    """
    session = _session(data, path)
    known = session.get_modelmeta().custom_metadata_map
    rate = known.get("sample_rate", str(SAMPLE_RATE))
    if rate != str(SAMPLE_RATE):
        raise WrongArchitecture(f"{path!r} is for audio at {rate} Hz; {SAMPLE_RATE} Hz is needed.")
    about = _described(session, known, len(data), path)
    network = OnnxNetwork(about)
    network.load_state_dict({"file": torch.from_numpy(np.frombuffer(data, np.uint8).copy())}, assign=True)
    details = {"onnx": {key[:40]: value[:200] for key, value in sorted(known.items())}} if known else {}
    licence = known.get("licence", known.get("license", "unknown"))
    return Checkpoint(network, ModelCard(name, licence=licence, details=details))


def _session(data: bytes, path: str) -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingDependency(
            f"{path!r} is an ONNX file, which onnxruntime reads: pip install 'speaker-streamer[onnx]'."
        ) from error
    onnxruntime.disable_telemetry_events()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime has a dozen exceptions, without a common class
        raise CheckpointUnreadable(f"{path!r} is not a readable ONNX file: {_first_line(error)}.") from error


def _described(session: Any, known: Mapping[str, str], size: int, path: str) -> OnnxDescription:
    """The input of the file, from its shape; its output, by trying."""
    inputs = session.get_inputs()
    shape = inputs[0].shape if inputs else []
    if len(inputs) != 1 or inputs[0].type != "tensor(float)" or len(shape) not in (2, 3):
        said = ", ".join(f"{one.name} {one.shape} {one.type}" for one in inputs)
        raise WrongArchitecture(
            f"{path!r} takes {said or 'nothing'}; one float input is needed, waveforms (batch, samples) or "
            "(batch, 1, samples), or filter banks (batch, frames, bands)."
        )
    bands = shape[2] if len(shape) == 3 and shape[1] != 1 else 0
    if not isinstance(bands, int) or bands > MOST_BANDS:
        raise WrongArchitecture(
            f"{path!r} takes {shape}, which leaves open what it is; the last axis must be the number of bands of a "
            f"filter bank, at most {MOST_BANDS}, or the second be 1, for waveforms."
        )
    # By sherpa-onnx's metadata: "0" means samples as 16-bit numbers.
    whole = known.get("normalize_samples", "0" if bands else "1") == "0"
    outputs = [output.name for output in session.get_outputs()]
    about = OnnxDescription(
        size, inputs[0].name, outputs[0], 0, bands, len(shape) == 3, KALDI_SCALE if whole else 1.0, shape[0] != 1
    )
    return _tried(session, about, outputs, path)


def _tried(session: Any, about: OnnxDescription, outputs: list[str], path: str) -> OnnxDescription:
    """The description with the first output that is an embedding for a second of noise."""
    noise = np.random.default_rng(0).normal(0, 0.1, (1, 1, SAMPLE_RATE)).astype(np.float32)
    heard = KaldiFilterBank(about.bands, scale=about.scale)(torch.from_numpy(noise)).numpy() if about.bands else noise
    if not about.bands and not about.channel:
        heard = heard[:, 0]
    try:
        found = session.run(outputs, {about.input: heard})
    except Exception as error:
        raise WrongArchitecture(f"{path!r} fails on a second of audio: {_first_line(error)}.") from error
    for name, value in zip(outputs, found, strict=True):
        if value.ndim == 2 and value.shape[0] == 1 and value.shape[1] > 1:
            values = asdict(about) | {"output": name, "dimension": int(value.shape[1])}
            return OnnxDescription(**values)
    shapes = ", ".join(f"{name} {list(value.shape)}" for name, value in zip(outputs, found, strict=True))
    raise WrongArchitecture(f"{path!r} gives {shapes} for one second of audio; an embedding (1, dimension) is needed.")


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0].rstrip(".") if str(error).strip() else type(error).__name__
