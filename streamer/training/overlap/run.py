"""Train the overlap head of a streaming CAM++: `python -m streamer.training.overlap.run SPEECH OUT`.

SPEECH is a folder of speech (see `streamer.training.campplus.pieces`). The network stays unchanged: the outputs of its
first dense block for conversations are computed once, and a head is trained on them. Computing them takes a fifth of
an hour on a core, training two minutes.
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import torch.nn.functional as F
import typer
from torch import Tensor, nn

from streamer.engine.campplus.layers import PreparedLayers
from streamer.models.campplus.network import CamPlusPlus, campplus_of
from streamer.models.campplus.overlap import OverlapHead
from streamer.models.carry import Carry
from streamer.models.checkpoint import save
from streamer.models.fbank import GRID as BAND_GRID
from streamer.models.model import Model
from streamer.training.campplus.disturbance import Disturbance
from streamer.training.campplus.pieces import Pieces
from streamer.training.campplus.run import WITHOUT
from streamer.training.overlap.mixtures import Mixtures

#: Seconds of a conversation, and the number of conversations that are computed at once.
SECONDS, HEARD_AT_ONCE = 20.0, 8
#: Frames of an example, and frames at its beginning without a target, where nobody was heard yet.
FRAMES, UNASKED = 496, 25
BATCH, RATE, WARM_UP = 32, 2e-3, 30


@torch.inference_mode()
def early_blocks(network: CamPlusPlus, layers: PreparedLayers, waves: Tensor) -> Tensor:
    """The outputs of the first dense block for waves (batch, samples), each a stream from its first sample on:
    (frames, batch, 256), float16, with the frame numbers of `CamPlusPlus.frames`."""
    grid, lag = network.architecture.grid, network.lag
    frames = grid.num_frames(waves.shape[1])
    waves = F.pad(waves, (BAND_GRID.stride, 0))
    hops = frames + lag
    rows = network.bank(waves[:, : BAND_GRID.num_samples(2 * hops)])
    carry = Carry(network.new_carry()[None].repeat(len(waves), 1), torch.full((len(waves),), hops), hops)
    (early,) = layers.behind(rows.transpose(0, 1), carry, 1)
    return early[lag:].half()


def hear(network: CamPlusPlus, mixtures: Mixtures, conversations: int) -> tuple[Tensor, Tensor]:
    """Early blocks (frames, conversations, 256) float16, and numbers of speakers (frames, conversations), at most 2."""
    layers, blocks, counts = PreparedLayers(network.layers), [], []
    for first in range(0, conversations, HEARD_AT_ONCE):
        waves, speaking = mixtures.draw(HEARD_AT_ONCE, SECONDS)
        blocks.append(early_blocks(network, layers, waves))
        counts.append(speaking.clamp(max=2).t().to(torch.uint8))
        if first % (10 * HEARD_AT_ONCE) == 0:
            mixed = float((counts[-1] == 2).float().mean())
            typer.echo(f"{first} conversations of {SECONDS:.0f} s, {mixed:.0%} overlap")
    return torch.cat(blocks, 1), torch.cat(counts, 1)


def learn(head: OverlapHead, blocks: Tensor, counts: Tensor, epochs: float, generator: torch.Generator) -> None:
    """Train a head on the outputs of `hear`."""
    head.train().requires_grad_(True)
    frames, conversations, _ = blocks.shape
    steps = max(1, round(epochs * conversations * (frames / FRAMES) / BATCH))
    optimiser = torch.optim.AdamW(head.parameters(), weight_decay=1e-2)
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = RATE * min(1.0, (step + 1) / WARM_UP) * (0.5 + 0.5 * math.cos(math.pi * step / steps))
        chosen = torch.randint(conversations, (BATCH,), generator=generator)
        first = torch.randint(frames - FRAMES + 1, (BATCH,), generator=generator)
        places = first + torch.arange(FRAMES)[:, None]
        example, speaking = blocks[places, chosen].float(), counts[places, chosen].long()
        logits = head(example, Carry(example.new_zeros(BATCH, head.memory.hidden_size), places[0], FRAMES))
        loss = F.cross_entropy(logits[UNASKED:].flatten(0, 1), speaking[UNASKED:].flatten())
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(head.parameters(), 1.0)
        optimiser.step()
        if step % 50 == 0:
            typer.echo(f"step {step} of {steps}: loss {float(loss.detach()):.3f}")
    head.eval().requires_grad_(False)


def levelled(blocks: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each channel, (256,) each, over some of the blocks."""
    some = blocks[:, : 8 * HEARD_AT_ONCE].float().flatten(0, 1)
    return some.mean(0), some.std(0) + 1e-2


def folded(head: OverlapHead, mean: Tensor, deviation: Tensor) -> OverlapHead:
    """The same head, for blocks that are not standardised."""
    with torch.no_grad():
        head.inner.weight.div_(deviation)
        head.inner.bias.sub_(head.inner.weight @ mean)
    return head


def with_head(model: Model, head: OverlapHead) -> Model:
    """A model with an overlap head."""
    before = campplus_of(model.network)
    network = CamPlusPlus(replace(before.architecture, overlap=True))
    weights = before.state_dict() | {f"overlap.{name}": tensor for name, tensor in head.state_dict().items()}
    network.load_state_dict(weights)
    return Model(network.eval().requires_grad_(False), model.card, model.cohort)


def train(
    speech: Annotated[Path, typer.Argument(help="A folder of speech, with manifest.csv.")],
    out: Annotated[Path, typer.Argument(help="The model with its head, a .safetensors file.")],
    model: Annotated[str, typer.Option(help="The model to extend.")] = "campplus-live",
    conversations: Annotated[int, typer.Option(help="Number of conversations, 20 s each.", min=8)] = 2000,
    epochs: Annotated[float, typer.Option(help="Passes over the conversations.", min=0.01)] = 10.0,
    seed: Annotated[int, typer.Option(help="Seed of all random numbers.")] = 0,
) -> None:
    """Write the model with a trained overlap head. Its scores have to be calibrated again afterwards."""
    loaded = Model.from_pretrained(model)
    network, generator = campplus_of(loaded.network), torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    pieces = Pieces.load(speech, WITHOUT, torch.device("cpu"))
    mixtures = Mixtures(pieces, Disturbance.of(speech, generator), loaded.grid, generator, np.random.default_rng(seed))
    blocks, counts = hear(network, mixtures, conversations)
    head, (mean, deviation) = OverlapHead(), levelled(blocks)
    blocks.sub_(mean.half()).div_(deviation.half())
    learn(head, blocks, counts, epochs, generator)
    save(out, with_head(loaded, folded(head, mean, deviation)), torch.float16)


if __name__ == "__main__":
    typer.run(train)
