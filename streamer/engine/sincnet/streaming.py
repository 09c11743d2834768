"""Chooses the stepper of a SincNet x-vector, which depends on its norms and on the requested mode."""

from __future__ import annotations

from streamer.engine.cached import CachedStepper
from streamer.engine.layers import Precision
from streamer.engine.settings import Mode
from streamer.engine.sincnet.cached import SincNetBackbone
from streamer.engine.sincnet.exact import ExactStepper
from streamer.engine.sincnet.layers import SincNetFrameLayers
from streamer.engine.sincnet.trailing import TrailingBackbone
from streamer.engine.stepper import Stepper
from streamer.errors import ConfigurationError
from streamer.models.model import Model
from streamer.models.xvector import sincnet_of


class SincNetStreaming:
    """Without window norms, `cached` is exact. With them, `exact` recomputes windows, and `cached` approximates."""

    def choose_mode(self, mode: Mode | None, model: Model) -> Mode:
        architecture = sincnet_of(model.network).architecture
        if architecture.frame_local:
            if mode == "exact":
                raise ConfigurationError(
                    "mode='exact' is for models with window norms; this one has none, so that 'cached' is exact: use "
                    "that."
                )
            return "cached"
        if architecture.front != "rectified":
            raise ConfigurationError(
                f"front={architecture.front!r} with norm={architecture.norm!r} cannot be streamed: use `Inference`, or "
                "train with norm='batch'."
            )
        return mode or "exact"

    def stepper(
        self, model: Model, mode: Mode, precision: Precision, use_head: bool, compiled: bool | None = None
    ) -> Stepper:
        network = sincnet_of(model.network)
        layers = SincNetFrameLayers(network, precision, compiled, use_head)
        if mode == "exact":
            return ExactStepper(model, layers)
        if network.architecture.frame_local:
            return CachedStepper(model, SincNetBackbone(layers), use_head, compiled)
        return CachedStepper(model, TrailingBackbone(network, layers), use_head=False, compiled=compiled)
