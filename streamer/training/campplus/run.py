"""Train the streaming CAM++: `python -m streamer.training.campplus.run SPEECH OUT --minutes 15 --device cuda`.

SPEECH is a folder of speech (see `pieces`). The run saves its state in OUT every few minutes, and resumes from it. The
learning rate falls along a cosine over the given time, so a run of any length ends at a low rate. At the end, the last
layer is normalised with labelled speech (see `within`).
"""

from __future__ import annotations

import copy
import math
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from torch import Tensor

from streamer.audio.chunks import SAMPLE_RATE
from streamer.errors import WrongArchitecture
from streamer.models.campplus.architecture import CamPlusPlusArchitecture
from streamer.models.campplus.convert import of_the_past
from streamer.models.campplus.network import CamPlusPlus, campplus_of
from streamer.models.checkpoint import save
from streamer.models.model import Model, ModelCard
from streamer.training.campplus.disturbance import Disturbance, through_codecs
from streamer.training.campplus.losses import Lesson, loss
from streamer.training.campplus.pieces import Pieces
from streamer.training.campplus.student import measure_expected, rows_of, student_frames
from streamer.training.campplus.within import SPEAKERS, WINDOW, apply, hear, normalisation

#: Corpora left out of training, so that cohort and calibration use voices that it did not see.
WITHOUT = ("arabiccommands", "cv-fa")
HEARD_HZ = 6_900.0
TEACHER = "CAM++ for Chinese and English (3D-Speaker, Apache-2.0), whose weights training began with"
#: The share of voices that pass through a codec.
CODED = 0.15
#: Samples of a lesson's target voice, and of the voice before it in every third lesson; 4 s and 2 s.
OWN, BEFORE = 64_400, 32_000
#: Voices that the averages of speech are measured on.
MEASURED = 32
#: Steps until the full learning rate; share of the average that each step keeps.
WARM_UP, KEPT = 40, 0.995
SAVE_S = 240.0


@dataclass(slots=True)
class Classroom:
    """Draws lessons."""

    teacher: CamPlusPlus
    pieces: Pieces
    disturbance: Disturbance
    generator: torch.Generator
    rng: np.random.Generator
    batch: int

    @torch.no_grad()
    def lesson(self, number: int) -> Lesson:
        voices = self.pieces.take(self.batch, OWN, self.generator)
        frames = self.teacher.frames(voices[:, None])
        heard, before = voices, 0
        if number % 3 == 2:
            other = self.pieces.take(self.batch, BEFORE, self.generator)
            pause = torch.rand(self.batch, 1, generator=self.generator, device=voices.device) < 0.2
            heard, before = torch.cat([torch.where(pause, 0.01 * other, other), voices], 1), BEFORE // 320
        rows = rows_of(self.teacher, through_codecs(self.disturbance(heard), CODED, self.rng))
        return Lesson(rows, before, frames.features.permute(2, 0, 1), self.teacher.pool(frames))


class Relative(torch.optim.AdamW):
    """AdamW with steps in proportion to each tensor's size: the sizes of folded layers differ by decades."""

    def __init__(self, network: torch.nn.Module) -> None:
        groups = [
            {"params": [tensor], "size": max(float(tensor.detach().square().mean().sqrt()), 3e-3)}
            for tensor in network.parameters()
        ]
        super().__init__(groups, lr=0.0, betas=(0.9, 0.98), eps=1e-10, weight_decay=0.0)

    def set_rate(self, rate: float) -> None:
        for group in self.param_groups:
            group["lr"] = rate * group["size"]


def begin(teacher: CamPlusPlus, voices: Tensor, start: Model | None = None) -> CamPlusPlus:
    """The student before its first step: an earlier student, or the teacher's weights with the averages of speech.

    Raises WrongArchitecture if `start` is not a streaming CAM++.
    """
    if start is None:
        architecture = CamPlusPlusArchitecture(
            context="past", heard_hz=HEARD_HZ, attention=True, dimension=teacher.architecture.dimension
        )
        student = CamPlusPlus(architecture)
        student.load_state_dict(of_the_past(teacher.state_dict(), HEARD_HZ))
    else:
        student = campplus_of(start.network)
        if not student.architecture.frame_local:
            raise WrongArchitecture(
                f"{start.card.name} sees whole windows; begin with a streaming CAM++, or without a model."
            )
        # Its own last layer is normalised; the embeddings of a lesson are the teacher's.
        student.embedding.load_state_dict(teacher.embedding.state_dict())
    student.to(voices.device).float().train().requires_grad_(True)
    measure_expected(student, voices)
    return student


def rate_at(step: int, share: float, rate: float) -> float:
    """The learning rate of a step. share: the part of the time that has passed."""
    return rate * min(1.0, (step + 1) / WARM_UP) * (0.5 + 0.5 * math.cos(math.pi * min(1.0, share))) + 1e-5


def train(
    speech: Annotated[Path, typer.Argument(help="A folder of speech, with manifest.csv.")],
    out: Annotated[Path, typer.Argument(help="Where the run is saved.")],
    minutes: Annotated[float, typer.Option(help="How long to train.", min=0.01)] = 15.0,
    device: Annotated[str, typer.Option(help="cpu, cuda, ...")] = "cpu",
    batch: Annotated[int, typer.Option(help="Voices of a step; 256 on a GPU.", min=2)] = 16,
    rate: Annotated[float, typer.Option(help="Learning rate, relative to the weights.", min=0.0)] = 2e-3,
    start: Annotated[str | None, typer.Option(help="Continue from this model instead of from CAM++.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of all random numbers.")] = 0,
) -> None:
    """Train, or resume a run; its averaged weights are OUT/model.safetensors."""
    where = torch.device(device)
    generator = torch.Generator(where).manual_seed(seed)
    teacher = campplus_of(Model.from_pretrained("campplus", device=device).network)
    pieces = Pieces.load(speech, WITHOUT, where)
    room = Classroom(teacher, pieces, Disturbance.of(speech, generator), generator, np.random.default_rng(seed), batch)
    typer.echo(f"{len(pieces.start)} pieces, {float(pieces.length.sum()) / SAMPLE_RATE / 3600:.1f} h")
    before = None if start is None else Model.from_pretrained(start, device=device)
    student = begin(teacher, pieces.take(MEASURED, OWN, generator), before)
    average = copy.deepcopy(student)
    optimiser = Relative(student)
    out.mkdir(parents=True, exist_ok=True)
    step = _resume(out / "state.pt", student, average, optimiser)
    begun = saved = time.monotonic()
    while (gone := time.monotonic() - begun) < 60 * minutes:
        optimiser.set_rate(rate_at(step, gone / (60 * minutes), rate))
        value, cosine = learn(student, optimiser, room.lesson(step), front=step % 2 == 0)
        step += 1
        follow(average, student, min(KEPT, 1 - 1 / (step + 1)))
        if step % 20 == 0 or step < 4:
            typer.echo(f"{gone:.0f} s step {step} loss {value:.3f} cosine at 3 s {cosine:.3f}")
        if time.monotonic() - saved > SAVE_S:
            saved = time.monotonic()
            _save(out / "state.pt", student, average, optimiser, step)
    _save(out / "state.pt", student, average, optimiser, step)
    measure_expected(average, pieces.take(MEASURED, OWN, generator))
    if (speakers := len(pieces.paired(WINDOW))) < SPEAKERS:
        typer.echo(
            f"not normalised: {speakers} speakers have two pieces of {WINDOW / SAMPLE_RATE:g} s, {SPEAKERS} should"
        )
    else:
        apply(average, normalisation(hear(average, pieces, room.disturbance, generator)))
    write(out / "model.safetensors", average, {"steps": step, "batch": batch, "after": start})


def write(path: Path, network: CamPlusPlus, trained: dict[str, Any]) -> None:
    """Write a checkpoint in half precision. Calibrate its scores next: `python -m streamer.training.scores`."""
    details = {"teacher": TEACHER, "trained": trained}
    card = ModelCard("campplus-live", licence="Apache-2.0", details=details)
    save(path, Model(network.eval().requires_grad_(False), card), torch.float16)


def learn(student: CamPlusPlus, optimiser: torch.optim.Optimizer, lesson: Lesson, front: bool) -> tuple[float, float]:
    """One step. `front`: also train the front end, whose backward pass costs as much as that of all other layers."""
    for tensor in student.layers.front.parameters():
        tensor.requires_grad_(front)
    value, cosine = loss(student, student_frames(student, lesson.rows), lesson)
    optimiser.zero_grad(set_to_none=True)
    value.backward()  # type: ignore[no-untyped-call]
    own = {id(tensor) for tensor in student.layers.front.parameters()}
    others = [tensor for tensor in student.parameters() if id(tensor) not in own]
    # Clipped separately: the front end's gradient is decades larger.
    torch.nn.utils.clip_grad_norm_(student.layers.front.parameters(), 1.0)
    torch.nn.utils.clip_grad_norm_(others, 1.0)
    optimiser.step()
    return float(value.detach()), cosine


@torch.no_grad()
def follow(average: CamPlusPlus, student: CamPlusPlus, kept: float) -> None:
    for mean, tensor in zip(average.parameters(), student.parameters(), strict=True):
        mean.lerp_(tensor, 1 - kept)


def _resume(path: Path, student: CamPlusPlus, average: CamPlusPlus, optimiser: Relative) -> int:
    if not path.exists():
        return 0
    state: dict[str, Any] = torch.load(path, map_location=student.device, weights_only=True)
    student.load_state_dict(state["student"])
    average.load_state_dict(state["average"])
    optimiser.load_state_dict(state["optimiser"])
    return int(state["step"])


def _save(path: Path, student: CamPlusPlus, average: CamPlusPlus, optimiser: Relative, step: int) -> None:
    """Write a new file and rename it, so that a run killed during the write keeps the previous state."""
    beside = path.with_suffix(".part")
    torch.save(
        {
            "student": student.state_dict(),
            "average": average.state_dict(),
            "optimiser": optimiser.state_dict(),
            "step": step,
        },
        beside,
    )
    os.replace(beside, path)


if __name__ == "__main__":
    typer.run(train)
