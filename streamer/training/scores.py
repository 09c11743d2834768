"""Make a cohort and a calibration for weights: `python -m streamer.training.scores MODEL OUT`.

The cohort has other voices over many channels; the calibration is measured in conversations whose voices share a
channel. It uses only embeddings, so it works for any network, whoever trained it.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
import typer
from scipy.signal import oaconvolve

from streamer.audio.chunks import SAMPLE_RATE
from streamer.engine.incremental import IncrementalModel
from streamer.evaluation.conditions import CHANNELS
from streamer.evaluation.conversations import Plan, Voices, converse
from streamer.evaluation.manifest import Float32, read_manifest
from streamer.evaluation.rooms import AcousticChannel
from streamer.evaluation.scoring import cosine, speaker_means
from streamer.evaluation.stream import ComputedConversation, compute, read_noise
from streamer.evaluation.trials import windows
from streamer.evaluation.verification import embed_items, embedder
from streamer.models.checkpoint import save
from streamer.models.model import Model
from streamer.speakers.backend import Cohort
from streamer.speakers.profiles import Vector
from streamer.speakers.settings import STEP_S
from streamer.training.calibration import calibrate, usual_mean
from streamer.training.export import DURATIONS_S, Scores, described
from streamer.training.packed import Clip, clips_of

#: Corpora whose speakers could meet: many utterances each, one language, the same recording conditions.
MEETING = ("speechocean762", "cv-fr", "librispeech")
LEAST = 5
#: Corpora with reliable labels, to describe cosines with: in Common Voice, one person can have several labels.
COSINES = ("speechocean762", "librispeech")
#: Speakers and clips of each of them, and windows that a speaker needs so that trials do not pair neighbours.
COSINE_SPEAKERS, COSINE_CLIPS, LEAST_WINDOWS = 20, 8, 3
CROP_S = 3.0
CROPS = 2
BATCH = 16
#: How far a voice's mean against the cohort is trusted, see `Cohort`. Of 0 to 1 in quarters, a half separated strangers
#: from the enrolled best, in conversations from a corpus that the cohort had no voices of.
TRUST = 0.5
ROOM_RT60_S = (0.15, 0.7)
NARROW = tuple(name for name in CHANNELS if name.startswith(("telephone", "amr")) or name == "lowpass-3400")
WIDE = tuple(name for name in CHANNELS if name not in NARROW)
Enrolled = Literal["same", "other", "both"]
ENROLLED: dict[Enrolled, tuple[Literal["same", "other"], ...]] = {
    "same": ("same",),
    "other": ("other",),
    "both": ("same", "other"),
}
#: The channels of each cohort voice: as recorded, across a room, through a codec, by telephone.
KINDS: dict[str, tuple[str, ...]] = {"recorded": (), "room": ("clean",), "wide": WIDE, "narrow": NARROW}


def cohort_of(model: Model, voices: dict[str, list[Clip]], noise: Float32, seed: int = 5) -> Vector:
    """Embeddings (voices x kinds, dimension): the mean direction of each voice's crops over one channel of each kind.

    The nearest cohort voices of a voice on a telephone are those on a telephone, and its scores are normalised by them.
    """
    rng = np.random.default_rng(seed)
    waves: list[Float32] = []
    labels: list[int] = []
    found: list[Vector] = []

    def embed() -> None:
        if waves:
            found.append(model(torch.from_numpy(np.stack(waves)[:, None])).float().cpu().numpy())
            waves.clear()

    for number, clips in enumerate(voices.values()):
        crops = list(_crops(clips, rng))
        for kind, conditions in enumerate(KINDS.values()):
            channel = AcousticChannel.drawn(rng, ROOM_RT60_S, str(rng.choice(conditions))) if conditions else None
            for crop in crops:
                waves.append(crop if channel is None else _heard(crop, channel, noise, rng))
                labels.append(number * len(KINDS) + kind)
                if len(waves) == BATCH:
                    embed()
    embed()
    return np.asarray(speaker_means(np.concatenate(found), np.array(labels)), np.float32)


def _crops(clips: list[Clip], rng: np.random.Generator) -> Iterator[Float32]:
    samples = round(CROP_S * SAMPLE_RATE)
    for place in rng.permutation(len(clips))[:CROPS]:
        wave = clips[int(place)].read()
        start = int(rng.integers(max(1, len(wave) - samples)))
        crop = np.resize(wave[start : start + samples], samples)
        yield np.asarray(crop * (0.05 / max(float(np.sqrt(np.mean(crop**2))), 1e-5)), np.float32)


def _heard(crop: Float32, channel: AcousticChannel, noise: Float32, rng: np.random.Generator) -> Float32:
    """A crop at a random place in the channel's room, with noise 8 to 35 dB below it."""
    wet = oaconvolve(crop, channel.place(rng))[: len(crop)].astype(np.float32)
    if len(noise) > len(crop):
        start = int(rng.integers(len(noise) - len(crop)))
        wet += noise[start : start + len(crop)] * np.float32(0.05 * 10 ** (-rng.uniform(8, 35) / 20))
    return channel.hear(wet, rng)


@dataclass(frozen=True, slots=True)
class Drawing:
    """The amount of data to draw, and the channel of enrolments: see `main`."""

    voices: int
    conversations: int
    seconds: float
    seed: int
    enrolled: Enrolled = "same"


def rehearsed(
    engine: IncrementalModel, groups: dict[str, Voices], drawing: Drawing
) -> dict[str, list[ComputedConversation]]:
    """Conversations over shared channels of each group, with enrolments over the channels that the drawing says."""
    found: dict[str, list[ComputedConversation]] = {}
    kinds = ENROLLED[drawing.enrolled]
    for name, voices in groups.items():
        for number in range(drawing.conversations):
            plan = Plan.of_rooms(drawing.seconds, speakers=(2, 5), absent=1, enrolled_over=kinds[number % len(kinds)])
            found.setdefault(name, []).append(compute(engine, converse(voices, plan, drawing.seed + number), STEP_S))
    return found


def rescored(model: Model, manifest: Path, drawing: Drawing, *, keep: bool) -> tuple[Vector, dict[str, Any]]:
    """The cohort, and the calibration of its scores in the format of a card's details."""
    rows = read_manifest(manifest)
    noise = read_noise(manifest.parent / row.path for row in rows if row.split == "noise")
    clips = clips_of(manifest, [row for row in rows if row.split == "train"])
    everybody = {f"{corpus} {name}": some for corpus, by_name in clips.items() for name, some in by_name.items()}
    rng = np.random.default_rng(drawing.seed)
    names = [name for name, some in everybody.items() if len(some) >= 2]
    chosen = sorted(names[place] for place in rng.permutation(len(names))[: drawing.voices])
    cohort = cohort_of(model, {name: everybody[name] for name in chosen}, noise)
    corpora = np.repeat([name.partition(" ")[0] for name in chosen], len(KINDS))
    if keep and model.cohort is not None:
        cohort = np.concatenate([np.asarray(model.cohort, np.float32), cohort])
        corpora = np.concatenate([np.full(len(model.cohort), ""), corpora])
    meeting: dict[str, Voices] = {}
    for corpus in MEETING:
        enough = {name: some for name, some in clips.get(corpus, {}).items() if len(some) >= LEAST}
        if len(enough) >= 3:
            meeting[corpus] = Voices(enough, noise)
    computed = rehearsed(IncrementalModel(model), meeting, drawing)
    # In use, people differ from the whole cohort: so the cohort here has nobody of their corpus.
    strange = {name: cohort[corpora != name] for name in computed}
    usual = usual_mean(computed, {name: Cohort(voices) for name, voices in strange.items()})
    trusted = {name: Cohort(voices, trust=TRUST, usual=usual) for name, voices in strange.items()}
    worth = calibrate(computed, model, trusted)
    # Somebody enrolled over the same channel is like a guest, and there are many more scores of guests.
    enrolled = worth.guests if drawing.enrolled == "same" else worth.enrolled
    scores = cosines_of(model, {name: clips[name] for name in COSINES if name in meeting})
    worths = {"tracking": enrolled.to_dict(), "guests": worth.guests.to_dict()}
    return cohort, {"cohort": {"trust": TRUST, "usual": usual}, **worths, "scores": scores}


def cosines_of(model: Model, groups: dict[str, dict[str, list[Clip]]]) -> Scores:
    """The meaning of cosines by window length, with trials inside each group; see `export.described`."""
    found: Scores = {}
    spoken = [
        [
            [clip.read() for clip in clips[:COSINE_CLIPS]]
            for clips in itertools.islice(speakers.values(), COSINE_SPEAKERS)
        ]
        for speakers in groups.values()
    ]
    for duration_s in DURATIONS_S:
        parts = []
        for speakers in spoken:
            enough = [waves for waves in speakers if sum(map(len, waves)) >= LEAST_WINDOWS * duration_s * SAMPLE_RATE]
            if len(enough) < 2:
                continue
            items, trials = windows(enough, duration_s)
            parts.append((cosine(embed_items(items, embedder(model.network)), trials.left, trials.right), trials.same))
        if parts:
            found[f"{duration_s:.1f}"] = described(*(np.concatenate(part) for part in zip(*parts, strict=True)))
    return found


def main(
    source: Annotated[str, typer.Argument(metavar="MODEL", help='The weights: "sincnet", "campplus-live", or a file.')],
    path: Annotated[Path, typer.Argument(metavar="OUT", help="The safetensors file to write.")],
    manifest: Annotated[Path, typer.Option(help="The speech: a CSV, with shards in pack/ beside it or without.")],
    voices: Annotated[int, typer.Option(help="Voices of the cohort, each over four channels.", min=10)] = 250,
    conversations: Annotated[int, typer.Option(help="Of each group, for what scores are worth.", min=1)] = 12,
    seconds: Annotated[float, typer.Option(help="Length of a conversation.", min=20)] = 60.0,
    seed: Annotated[int, typer.Option(help="Of all that is drawn.")] = 40_000,
    enrolled: Annotated[
        Enrolled,
        typer.Option(
            help="The channel of the enrolments that scores are calibrated with: the conversation's channel, another "
            "one, or both in turns. Weights that depend on the channel take strangers for the enrolled otherwise."
        ),
    ] = "same",
    keep: Annotated[bool, typer.Option(help="Keep the present cohort of the weights, and add the new one.")] = True,
) -> None:
    """Write the same weights with a cohort over many channels, and with the calibration of scores against it."""
    model = Model.from_pretrained(source)
    torch.set_num_threads(1)
    drawing = Drawing(voices, conversations, seconds, seed, enrolled)
    cohort, details = rescored(model, manifest, drawing, keep=keep)
    threshold = model.card.threshold
    if usual := details["scores"].get("3.0"):
        details["calibration"] = {name: usual[name] for name in ("slope", "offset")}
        threshold = usual["threshold"] if threshold is None else threshold
    card = replace(model.card, threshold=threshold, details={**model.card.details, **details})
    save(path, Model(model.network, card, cohort), torch.float16)
    path.chmod(0o644)


if __name__ == "__main__":
    typer.run(main)
