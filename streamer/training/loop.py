"""The training loop: it resumes at the exact step, since a step's random numbers depend on its number alone."""

from __future__ import annotations

import csv
import math
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from streamer.models.xvector import XVectorSincNet
from streamer.training.augmentation import Augmenter
from streamer.training.curves import plot_curves
from streamer.training.network import Average, Student
from streamer.training.optimiser import optimisers_of
from streamer.training.recipe import Recipe
from streamer.training.refit import fit_frames, refit
from streamer.training.sampler import Sampler
from streamer.training.team import Team

Report = dict[str, float]


class Trainer:
    """Trains one student by a recipe.

    Writes into the folder of the recipe: `log.csv`, `state.pt` (to resume from), the results of `evaluate` as
    `dev.csv`, and a plot of both logs, `curves.png`. Each member of a team draws a separate part of every batch.
    """

    def __init__(
        self, recipe: Recipe, sampler: Sampler, augment: Augmenter, device: str = "cpu", team: Team | None = None
    ) -> None:
        self.recipe, self.sampler, self.augment, self.team = recipe, sampler, augment, team or Team()
        self.folder = Path(recipe.folder).expanduser()
        self.folder.mkdir(parents=True, exist_ok=True)
        self.state = self.folder / "state.pt"
        self.device = torch.device(device)
        torch.manual_seed(recipe.schedule.seed)
        network = XVectorSincNet(recipe.architecture)
        if beginning := recipe.beginning():
            network.load_state_dict(beginning.network.state_dict())
        if recipe.refit and not self.state.exists():
            refit(network, sampler, augment)
        student = Student(network, sampler.prototypes(), sampler.frames.components if sampler.frames else 0)
        if student.hearing is not None and beginning and not self.state.exists():
            fit_frames(student, sampler, augment)
        self.student = student.to(self.device)
        self.average = Average(self.student.network, recipe.schedule.average)
        self.optimisers = optimisers_of(self.student, recipe.schedule)
        self.step, self.seconds, self.clock = 0, 0.0, time.monotonic()

    @property
    def progress(self) -> float:
        """The finished part of the run, from 0 to 1: by steps if the recipe counts steps, else by the clock."""
        schedule = self.recipe.schedule
        done = self.step / schedule.steps if schedule.steps else self.seconds / (schedule.hours * 3600)
        return min(1.0, done)

    def rate(self) -> float:
        """The current learning rate."""
        schedule, progress = self.recipe.schedule, self.progress
        if progress < schedule.warm_up:
            return schedule.rate * (progress / schedule.warm_up + 0.01)
        part = (progress - schedule.warm_up) / (1 - schedule.warm_up)
        return schedule.rate * (0.01 + 0.99 * (1 + math.cos(math.pi * part)) / 2)

    def margin(self) -> float:
        """The current weight of the margin softmax."""
        loss = self.recipe.loss
        return loss.margin * min(1.0, max(0.0, self.progress - loss.margin_from) / loss.margin_ramp)

    def train_step(self) -> Report:
        """One step; beside the weights, it depends only on its number."""
        schedule = self.recipe.schedule
        seconds = float(np.random.default_rng([schedule.seed, self.step]).choice(schedule.seconds))
        rng = np.random.default_rng([schedule.seed, self.step, self.team.rank])
        # Long crops come in smaller batches, so that every step costs the same.
        count = round(schedule.batch / self.team.size * min(1.0, 2.0 / seconds))
        batch = self.sampler.draw(count, seconds, rng)
        heard, voices = self.augment(batch.waves, rng)
        heard = torch.cat([heard, self._speechless(schedule.noise_batch // self.team.size, heard.shape[1], rng)])
        for optimiser in self.optimisers:
            for group in optimiser.param_groups:
                group["lr"] = self.rate()
        self.student.train()
        with torch.autocast(self.device.type, torch.bfloat16, enabled=schedule.half):
            parts = self.student(heard.to(self.device), batch.to(self.device), voices, self.recipe.loss, self.margin())
        self.student.zero_grad(set_to_none=True)
        parts["loss"].backward()
        self.seconds = self.team.average(self.student.parameters(), self.seconds + self._passed())
        norm = torch.nn.utils.clip_grad_norm_(self.student.network.parameters(), 5.0)
        if torch.isfinite(norm):  # A step that overflowed is skipped; the log shows it.
            for optimiser in self.optimisers:
                optimiser.step()
        self.average.update(self.student.network, self.step)
        self.step += 1
        report = {name: float(value.detach()) for name, value in parts.items()}
        return {"step": self.step, "seconds": self.seconds, "rate": self.rate(), **report, "norm": float(norm)}

    def _passed(self) -> float:
        """Seconds since the last call."""
        passed, self.clock = time.monotonic() - self.clock, time.monotonic()
        return passed

    def _speechless(self, count: int, samples: int, rng: np.random.Generator) -> Tensor:
        """Noise at any level, partly with digital silence: examples without speech for the speech head."""
        noise = (
            self.augment.noises(count, samples, rng) * torch.from_numpy(10 ** rng.uniform(-4, 0, (count, 1))).float()
        )
        noise[: count // 4, int(rng.integers(0, samples)) :] = 0.0
        return noise

    def run(self, evaluate: Callable[[XVectorSincNet], Report]) -> None:
        """Train to the end of the schedule, from the state in the folder."""
        from rich.progress import Progress

        schedule = self.recipe.schedule
        with Progress(disable=not self.team.leads) as bar:
            task = bar.add_task(self.recipe.name, total=1.0)
            while self.progress < 1.0:
                report = self.train_step()
                if not self.team.leads:
                    continue
                append_csv(self.folder / "log.csv", report)
                bar.update(task, completed=self.progress, description=f"step {self.step} loss {report['loss']:.3f}")
                last = self.progress >= 1.0
                if last or self.step % schedule.save_every == 0:
                    self.save()
                if last or self.step % schedule.evaluate_every == 0:
                    found = evaluate(self.average.network)
                    append_csv(self.folder / "dev.csv", {"step": self.step, "seconds": self.seconds, **found})
                    plot_curves(self.folder)

    def save(self) -> None:
        """Write everything that a resumed run needs; an interrupted write leaves the previous state."""
        state = {
            "student": self.student.state_dict(),
            "average": self.average.network.state_dict(),
            "optimisers": [optimiser.state_dict() for optimiser in self.optimisers],
            "step": self.step,
            "seconds": self.seconds,
        }
        part = self.folder / "state.part"
        torch.save(state, part)
        os.replace(part, self.state)

    def resume(self) -> bool:
        """Load the state of the folder, if there is one."""
        if not self.state.exists():
            return False
        state: dict[str, Any] = torch.load(self.state, map_location=self.device, weights_only=True)
        self.student.load_state_dict(state["student"])
        self.average.network.load_state_dict(state["average"])
        for optimiser, kept in zip(self.optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(kept)
        self.step, self.seconds = state["step"], state["seconds"]
        if self.team.leads:
            for name in ("log.csv", "dev.csv"):
                cut_csv(self.folder / name, self.step)
        return True


def cut_csv(path: Path, step: int) -> None:
    """Remove the rows after a step, if the file exists: the run will write them again."""
    if path.exists():
        header, *rows = path.read_text(encoding="utf-8").splitlines(keepends=True)
        kept = [row for row in rows if float(row.split(",")[0]) <= step]
        path.write_text("".join([header, *kept]), encoding="utf-8")


def append_csv(path: Path, row: Report) -> None:
    """Add a row, with the header if the file is new."""
    new = not path.exists()
    with path.open("a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, row)
        if new:
            writer.writeheader()
        writer.writerow({key: f"{value:.6g}" for key, value in row.items()})
