"""How the networks of each family are streamed: the one place that maps networks to steppers."""

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
        """The mode asked for, or the default of the model. Raises ConfigurationError for a mode that it does not
        have."""
        ...

    def stepper(
        self, model: Model, mode: Mode, precision: Precision, use_head: bool, compiled: bool | None = None
    ) -> Stepper:
        """What computes streams in a mode that `choose_mode` gave. use_head: the network's speech head weighs frames.
        compiled: see `IncrementalModel`.

        Raises ConfigurationError for a precision that the network cannot be computed in.
        """
        ...


@dataclass(frozen=True, slots=True)
class Cached:
    """Networks whose frames can each be computed once, with the same result.

    backbone: makes their backbone; raises ConfigurationError for a precision that it does not support.
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
    """Any other network: each window is computed anew."""

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
    """Say how the networks of a family are streamed, from now on."""
    STREAMING[family] = streaming


def streaming_of(model: Model) -> Streaming:
    return STREAMING.get(model.architecture.family, _RECOMPUTING)
