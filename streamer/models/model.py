"""A speaker embedding model: the network, its card, and its cohort for scoring."""

from __future__ import annotations

import hashlib
import os
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from streamer import plugins
from streamer.audio.chunks import SAMPLE_RATE
from streamer.errors import ConfigurationError
from streamer.models import checkpoint
from streamer.models.card import ModelCard, Source
from streamer.models.exactness import products
from streamer.models.grid import FrameGrid
from streamer.models.head import Head
from streamer.models.network import Description, Network
from streamer.models.places import of_a_package
from streamer.models.pooling import Moments

__all__ = ["Model", "ModelCard", "Source", "resolve_device"]


class Model:
    """A network ready for use, on one device, in evaluation mode.

    cohort: embeddings (voices, dimension) of many people, to normalise scores by; see `streamer.speakers.backend`.

    >>> model = Model.from_pretrained("default")                                      # doctest: +SKIP
    >>> model(torch.zeros(1, 1, 48_000)).shape                                        # doctest: +SKIP
    torch.Size([1, 256])
    """

    sample_rate = SAMPLE_RATE

    def __init__(self, network: Network, card: ModelCard, cohort: NDArray[np.floating] | None = None) -> None:
        self.network: Network = network.eval().requires_grad_(False)
        self.card = card
        self.cohort = cohort

    @classmethod
    def from_pretrained(
        cls,
        source: Source = "default",
        *,
        token: str | bool | None = None,
        use_auth_token: str | bool | None = None,
        revision: str | None = None,
        cache_dir: str | os.PathLike[str] | None = None,
        subfolder: str | None = None,
        device: str | torch.device | None = None,
    ) -> Model:
        """Load a model.

        source: the name of a model in this package ("campplus-live", the "default", "sincnet", "campplus"),
            a safetensors file of this package, a Lightning checkpoint (file, directory or binary file object),
            3D-Speaker's CAM++ (file), an ONNX file, or a Hugging Face id such as "pyannote/embedding", for which
            `token`, `revision`, `cache_dir` and `subfolder` apply. `use_auth_token` is the older name of `token`.

        Raises a `streamer.errors.CheckpointError` that says what is wrong and what to do next.
        """
        if token is not None and use_auth_token is not None:
            raise ConfigurationError("token= and use_auth_token= are the same setting: give one of them.")
        if of_a_package(source):
            model = _made_by_a_package(str(source))
        else:
            read = checkpoint.load(
                source,
                token=use_auth_token if token is None else token,
                revision=revision,
                cache_dir=cache_dir,
                subfolder=subfolder,
            )
            model = cls(read.network, read.card, read.cohort)
        return model.to(device) if device is not None else model

    @property
    def architecture(self) -> Description:
        return self.network.architecture

    @property
    def grid(self) -> FrameGrid:
        return self.architecture.grid

    @property
    def dimension(self) -> int:
        return self.architecture.dimension

    @property
    def device(self) -> torch.device:
        return self.network.device

    @property
    def minimum_samples(self) -> int:
        """The shortest audio that has an embedding, in samples at 16 kHz (5,041 of a SincNet x-vector: 0.315 s)."""
        return self.grid.num_samples(self.architecture.minimum_frames)

    @cached_property
    def fingerprint(self) -> str:
        """16 hex digits that identify these weights: never compare embeddings of different fingerprints."""
        digest = hashlib.sha256(repr(self.architecture).encode())
        for name, tensor in sorted(self.network.state_dict().items()):
            digest.update(name.encode())
            # As bytes: numpy has no bfloat16.
            digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()[:16]

    def to(self, device: str | torch.device) -> Model:
        """Move the weights. `device` is anything torch takes, or "auto": CUDA, MPS or the CPU, in this order."""
        self.network.to(resolve_device(device))
        return self

    @torch.inference_mode()
    def __call__(self, waveforms: Tensor, weights: Tensor | None = None) -> Tensor:
        """Embed waveforms (batch, 1, samples) at 16 kHz -> (batch, dimension); see `Network.__call__`.

        Computed in float32 on every device, whatever torch's settings are.
        """
        with products("exact"):
            return self.network(waveforms.to(self.device), weights)

    def embed(self, moments: Moments[NDArray[np.float32]]) -> NDArray[np.float32]:
        """Embeddings (..., dimension) of frames that were pooled elsewhere: moments (..., channels) of its frames.

        Runs on the calling thread alone, however busy torch's threads are. Raises ConfigurationError for a network
        without frames to pool.
        """
        return self._head(moments)

    def embed_batch(self, moments: Moments[NDArray[np.float32]]) -> NDArray[np.float32]:
        """The same for moments (batch, channels), as one matrix product with torch's threads."""
        return self._head.batch(moments)

    @cached_property
    def _head(self) -> Head:
        head = self.network.head
        if head is None:
            raise ConfigurationError(
                f"{self.card.name!r} embeds whole windows: it has no frames that could be pooled elsewhere."
            )
        return head

    def __repr__(self) -> str:
        return f"Model({self.card.name!r}, dimension={self.dimension}, fingerprint={self.fingerprint!r})"


def _made_by_a_package(name: str) -> Model:
    made = plugins.made("networks", name)
    if not isinstance(made, Model):
        raise ConfigurationError(f"network {name!r} is a {type(made).__name__}; its package must give a Model.")
    return made


def resolve_device(device: str | torch.device) -> torch.device:
    """A torch device from its name. Raises ConfigurationError on an unknown or absent one."""
    if device == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        resolved = torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise ConfigurationError(f"device={device!r} is not a device; use auto, cpu, cuda, cuda:N or mps.") from error
    if resolved.type == "cuda" and not torch.cuda.is_available():
        raise ConfigurationError(f"device={device!r}: no CUDA device is available here; use cpu or auto.")
    if resolved.type == "mps" and not torch.backends.mps.is_available():
        raise ConfigurationError(f"device={device!r}: MPS is not available here; use cpu or auto.")
    return resolved
