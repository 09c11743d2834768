"""Train the CAM++ of the past: `python -m streamer.training.campplus.run SPEECH OUT --minutes 15 --device cuda`.

SPEECH is a folder of speech (see `pieces`). The run is kept in OUT every few minutes and goes on where it stood. The
rate falls along a cosine over the time that is given, so that a run of any length ends settled.
"""

from __future__ import annotations

import copy
import math
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

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
from streamer.training.campplus.disturbance import Disturbance
from streamer.training.campplus.losses import Lesson, loss
from streamer.training.campplus.pieces import Pieces
from streamer.training.campplus.student import measure_expected, student_frames

#: Left out of training, so that cohort and calibration are of voices that it did not hear.
WITHOUT = ("arabiccommands", "cv-fa")
HEARD_HZ = 6_900.0
TEACHER = "CAM++ for Chinese and English (3D-Speaker, Apache-2.0), whose weights training began with"
#: Samples of a lesson's own voice, and of what is before it in every third; 4 s and 2 s.
OWN, BEFORE = 64_400, 32_000
#: Steps until the rate is whole; how much of the average is kept each step.
WARM_UP, KEPT = 40, 0.995
SAVE_S = 240.0


@dataclass(slots=True)
class Classroom:
    """Draws lessons."""

    teacher: CamPlusPlus
    pieces: Pieces
    disturbance: Disturbance
    generator: torch.Generator
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
        rows = self.teacher.bank(self.disturbance(heard))
        return Lesson(
            rows[:, : len(rows[0]) // 2 * 2], before, frames.features.permute(2, 0, 1), self.teacher.pool(frames)
        )


class Relative(torch.optim.AdamW):
    """AdamW whose steps are in proportion to each tensor's own size: folded layers' sizes lie decades apart."""

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
    """The student before its first step: a student of before, or the teacher's weights, and what is expected of speech.

    Raises WrongArchitecture where `start` is no CAM++ of the past.
    """
    if start is not None:
        student = campplus_of(start.network)
        if not student.architecture.frame_local:
            raise WrongArchitecture(
                f"{start.card.name} sees whole windows; begin with a CAM++ of the past, or without."
            )
        return student.to(voices.device).float().train().requires_grad_(True)
    architecture = CamPlusPlusArchitecture(
        context="past", heard_hz=HEARD_HZ, attention=True, dimension=teacher.architecture.dimension
    )
    student = CamPlusPlus(architecture)
    student.load_state_dict(of_the_past(teacher.state_dict(), HEARD_HZ))
    student.to(voices.device)
    rows = teacher.bank(voices)
    measure_expected(student, rows[:, : rows.shape[1] // 2 * 2])
    return student


def rate_at(step: int, share: float, rate: float) -> float:
    """share: of the time that is gone."""
    return rate * min(1.0, (step + 1) / WARM_UP) * (0.5 + 0.5 * math.cos(math.pi * min(1.0, share))) + 1e-5


def train(
    speech: Annotated[Path, typer.Argument(help="A folder of speech, with manifest.csv.")],
    out: Annotated[Path, typer.Argument(help="Where the run is kept.")],
    minutes: Annotated[float, typer.Option(help="How long to train.", min=0.01)] = 15.0,
    device: Annotated[str, typer.Option(help="cpu, cuda, ...")] = "cpu",
    batch: Annotated[int, typer.Option(help="Voices of a step; 256 on a GPU.", min=2)] = 16,
    rate: Annotated[float, typer.Option(help="Steps, relative to the weights.", min=0.0)] = 2e-3,
    start: Annotated[str | None, typer.Option(help="Go on from this model instead of from CAM++.")] = None,
    seed: Annotated[int, typer.Option(help="Of all that is drawn.")] = 0,
) -> None:
    """Train, or go on with a run; its average is OUT/model.safetensors."""
    where = torch.device(device)
    generator = torch.Generator(where).manual_seed(seed)
    teacher = campplus_of(Model.from_pretrained("campplus", device=device).network)
    pieces = Pieces.load(speech, WITHOUT, where)
    room = Classroom(teacher, pieces, Disturbance.of(speech, generator), generator, batch)
    typer.echo(f"{len(pieces.start)} pieces, {float(pieces.length.sum()) / SAMPLE_RATE / 3600:.1f} h")
    before = None if start is None else Model.from_pretrained(start, device=device)
    student = begin(teacher, pieces.take(32, OWN, generator), before)
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
    write(out / "model.safetensors", average, {"steps": step, "batch": batch, "after": start})


def write(path: Path, network: CamPlusPlus, trained: dict[str, Any]) -> None:
    """As a checkpoint, in half precision. Its scores are measured next: `python -m streamer.training.scores`."""
    details = {"teacher": TEACHER, "trained": trained}
    card = ModelCard("campplus-live", licence="Apache-2.0", details=details)
    save(path, Model(network.eval().requires_grad_(False), card), torch.float16)


def learn(student: CamPlusPlus, optimiser: torch.optim.Optimizer, lesson: Lesson, front: bool) -> tuple[float, float]:
    """One step; `front`: of the front end, too, whose backward pass costs as much as all others'."""
    for tensor in student.layers.front.parameters():
        tensor.requires_grad_(front)
    value, cosine = loss(student, student_frames(student, lesson.rows), lesson)
    optimiser.zero_grad(set_to_none=True)
    value.backward()  # type: ignore[no-untyped-call]
    own = {id(tensor) for tensor in student.layers.front.parameters()}
    others = [tensor for tensor in student.parameters() if id(tensor) not in own]
    # Apart: the front end's gradient is decades larger.
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
    """Beside and renamed, so that a run that is killed meanwhile keeps the state before."""
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
