"""A verification experiment: embed items, score trials, and compute error rates with their intervals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from streamer.audio.chunks import SAMPLE_RATE
from streamer.errors import AudioTooShort, ConfigurationError
from streamer.evaluation.manifest import Float32
from streamer.evaluation.metrics import Metric, bootstrap, det_curve, eer, equal_error, min_dcf
from streamer.evaluation.scoring import Float, Scorer, cosine, unit
from streamer.evaluation.trials import Trials
from streamer.models.network import Network

#: Waveforms (batch, samples) at 16 kHz -> embeddings (batch, dimension).
Embed = Callable[[Tensor], Tensor]

METRICS: dict[str, Metric] = {
    "eer": eer,
    "min_dcf_0.01": partial(min_dcf, prior=0.01),
    "min_dcf_0.05": partial(min_dcf, prior=0.05),
}


@dataclass(frozen=True, slots=True)
class Estimate:
    """A metric's value and the limits of its 95 % interval, by resampling speakers."""

    value: float
    low: float
    high: float

    def percent(self) -> str:
        """For a table: `2.83 [2.31, 3.40]`."""
        return f"{100 * self.value:.2f} [{100 * self.low:.2f}, {100 * self.high:.2f}]"


@dataclass(frozen=True, slots=True)
class Result:
    """The outcome of an experiment. scores, same: (trials,); threshold: the score at the equal error rate."""

    scores: Float
    same: np.ndarray[Any, np.dtype[np.bool_]]
    threshold: float
    metrics: dict[str, Estimate]

    def summary(self) -> dict[str, Any]:
        """The figures as plain JSON values."""
        found = {name: asdict(estimate) for name, estimate in self.metrics.items()}
        return {
            "trials": len(self.same),
            "same": int(self.same.sum()),
            "threshold": self.threshold,
            **found,
        }


def embedder(network: Network, dtype: torch.dtype = torch.float32) -> Embed:
    """A network as a function of waveforms, on the device of the network; lower precisions by autocast."""
    device = network.device

    def embed(waves: Tensor) -> Tensor:
        with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
            embeddings: Tensor = network(waves.unsqueeze(1).to(device))
        return embeddings.float().cpu()

    return embed


def embed_items(
    items: list[Float32],
    embed: Embed,
    *,
    batch: int = 32,
    window_s: float = 0.0,
    progress: Callable[[int], None] = lambda done: None,
) -> Float:
    """Embed items (samples,) of any lengths, (items, dimension); items of one length share batches.

    window_s: 0 embeds an item as a whole; otherwise its embedding is the mean over windows of this length, half
        overlapping, each scaled to norm 1 first. A shorter item is one window.
    """
    result: Float | None = None
    done = 0
    order = sorted(range(len(items)), key=lambda number: len(items[number]))
    while order:
        length = len(items[order[0]])
        group = [number for number in order[:batch] if len(items[number]) == length]
        order = order[len(group) :]
        waves = torch.from_numpy(np.stack([items[number] for number in group]))
        size = round(window_s * SAMPLE_RATE)
        try:
            with torch.inference_mode():
                if size and length > size:
                    pieces = waves.unfold(1, size, max(1, size // 2))
                    flat = unit(embed(pieces.flatten(0, 1)).float().numpy())
                    found = flat.reshape(*pieces.shape[:2], -1).mean(1)
                else:
                    found = embed(waves).float().numpy()
        except RuntimeError as error:
            if length < SAMPLE_RATE // 3:
                seconds = length / SAMPLE_RATE
                raise AudioTooShort(f"an item has {seconds:.2f} s of audio, too short to embed.") from error
            raise
        if result is None:
            result = np.zeros((len(items), found.shape[1]), np.float32)
        result[group] = found
        done += len(group)
        progress(done)
    if result is None:
        raise ConfigurationError("there is nothing to embed: no item is as long as the requested duration.")
    return result


def evaluate(embeddings: Float, trials: Trials, scorer: Scorer = cosine, rounds: int = 200) -> Result:
    """Score the trials and compute the metrics. `rounds` of resampling for the intervals; 0 gives them no width."""
    scores = scorer(embeddings, trials.left, trials.right)
    metrics = {}
    for name, metric in METRICS.items():
        value = metric(scores, trials.same, None)
        low, high = bootstrap(metric, scores, trials.same, trials.speakers, rounds=rounds) if rounds else (value, value)
        metrics[name] = Estimate(value, low, high)
    return Result(scores, trials.same, equal_error(det_curve(scores, trials.same))[1], metrics)
