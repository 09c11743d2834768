"""Maps each family of networks to its streaming method. This is the only place that chooses a stepper."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from streamer.engine.backbone import Backbone
from streamer.engine.cached import CachedStepper
from streamer.engine.campplus.streaming import CamPlusPlusStreaming
from streamer.engine.layers import Precision
from streamer.engine.recompute import RecomputingStepper
from streamer.engine.settings import Mode
from streamer.engine.sincnet.streaming import SincNetStreaming
from streamer.engine.stepper import Stepper
from streamer.errors import ConfigurationError
from streamer.models.campplus.architecture import CamPlusPlusArchitecture
from streamer.models.families import SINCNET
from streamer.models.model import Model


class Streaming(Protocol):
    """How the networks of one family are streamed."""

    def choose_mode(self, mode: Mode | None, model: Model) -> Mode:
        """The requested mode, or the model's default. Raises ConfigurationError if the model does not support the
        mode."""
        ...

    def stepper(
        self, model: Model, mode: Mode, precision: Precision, use_head: bool, compiled: bool | None = None
    ) -> Stepper:
        """A stepper for a mode from `choose_mode`. use_head: the network's speech head weights the frames.
        compiled: see `IncrementalModel`.

        Raises ConfigurationError if the network does not support the precision.
        """
        ...


@dataclass(frozen=True, slots=True)
class Cached:
    """Networks whose frames can each be computed once, with the same result.

    backbone: creates their backbone; raises ConfigurationError for an unsupported precision.
    """

    backbone: Callable[[Model, Precision], Backbone]

    def choose_mode(self, mode: Mode | None, model: Model) -> Mode:
        if mode == "exact":
            raise ConfigurationError(
                f"mode='exact': the frames of {model.card.name!r} are the same however they are computed, so that "
                "'cached' is exact: use that."
            )
        return "cached"

    def stepper(
        self, model: Model, mode: Mode, precision: Precision, use_head: bool, compiled: bool | None = None
    ) -> Stepper:
        return CachedStepper(model, self.backbone(model, precision), use_head, compiled)


class Recomputing:
    """Any other network: each window is recomputed."""

    def choose_mode(self, mode: Mode | None, model: Model) -> Mode:
        if mode == "cached":
            raise ConfigurationError(
                f"mode='cached': nobody said how the frames of family {model.architecture.family!r} are carried over "
                "from block to block; use 'exact', which computes each window anew."
            )
        return "exact"

    def stepper(
        self, model: Model, mode: Mode, precision: Precision, use_head: bool, compiled: bool | None = None
    ) -> Stepper:
        if precision not in ("float32", "tf32"):
            raise ConfigurationError(
                f"precision={precision!r} is for networks whose layers this engine prepares; {model.card.name!r} is "
                "computed as it is: use float32."
            )
        return RecomputingStepper(model)


STREAMING: dict[str, Streaming] = {
    SINCNET: SincNetStreaming(),
    CamPlusPlusArchitecture.family: CamPlusPlusStreaming(),
}
_RECOMPUTING = Recomputing()


def register(family: str, streaming: Streaming) -> None:
    """Set the streaming method for the networks of a family."""
    STREAMING[family] = streaming


def streaming_of(model: Model) -> Streaming:
    return STREAMING.get(model.architecture.family, _RECOMPUTING)
