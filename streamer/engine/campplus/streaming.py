"""Chooses the stepper of a CAM++, which depends on the context of its frames."""

from __future__ import annotations

from streamer.engine.cached import CachedStepper
from streamer.engine.campplus.cached import CamPlusPlusBackbone
from streamer.engine.campplus.exact import CamPlusPlusStepper
from streamer.engine.layers import Precision
from streamer.engine.settings import Mode
from streamer.engine.stepper import Stepper
from streamer.errors import ConfigurationError
from streamer.models.campplus.network import campplus_of
from streamer.models.model import Model


class CamPlusPlusStreaming:
    """With past context, frames are computed once. With whole windows, everything but the filter bank is recomputed."""

    def choose_mode(self, mode: Mode | None, model: Model) -> Mode:
        own: Mode = "cached" if model.architecture.frame_local else "exact"
        if mode not in (None, own):
            raise ConfigurationError(
                f"mode={mode!r}: {model.card.name!r} is streamed in mode {own!r} alone, which is exact; use that."
            )
        return own

    def stepper(
        self, model: Model, mode: Mode, precision: Precision, use_head: bool, compiled: bool | None = None
    ) -> Stepper:
        if precision not in ("float32", "tf32"):
            raise ConfigurationError(
                f"precision={precision!r}: {model.card.name!r} is computed in float32 alone; use that, or the model "
                "'sincnet', which has bfloat16 and int8."
            )
        network = campplus_of(model.network)
        if mode == "exact":
            return CamPlusPlusStepper(model, network)
        return CachedStepper(model, CamPlusPlusBackbone(network, compiled), use_head, compiled)
