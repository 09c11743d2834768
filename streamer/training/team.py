"""Several processes that train one network, each on a part of every batch."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable
from datetime import timedelta
from pathlib import Path

import torch
from torch import distributed, nn
from torch.multiprocessing.spawn import spawn

#: How long a member waits for the others, for example while one evaluates.
PATIENCE = timedelta(hours=1)


class Team:
    """The members of a run, and the rank of this process. A team of one exchanges nothing."""

    def __init__(self, rank: int = 0, size: int = 1) -> None:
        self.rank, self.size = rank, size

    @property
    def leads(self) -> bool:
        """Whether this member writes the run's files."""
        return self.rank == 0

    def average(self, parameters: Iterable[nn.Parameter], seconds: float) -> float:
        """Replace every gradient by the members' mean; return the members' mean of `seconds`.

        The clock is averaged with the gradients, so that all members agree on how much of the run is done.
        """
        if self.size == 1:
            return seconds
        gradients = [p.grad for p in parameters if p.grad is not None]
        clock = torch.tensor([seconds], dtype=torch.float64).to(gradients[0].device)
        together = torch.cat([gradient.flatten() for gradient in gradients])
        distributed.all_reduce(together)
        distributed.all_reduce(clock)
        together /= self.size
        parts = torch.split(together, [gradient.numel() for gradient in gradients])
        for gradient, part in zip(gradients, parts, strict=True):
            gradient.copy_(part.view_as(gradient))
        return float(clock) / self.size


def run_team(size: int, work: Callable[[Team], None]) -> None:
    """Call `work` in `size` processes at once (in this process, if `size` is 1). Raises the error of a member."""
    if size == 1:
        return work(Team())
    with tempfile.TemporaryDirectory() as folder:
        spawn(_member, (size, Path(folder) / "meeting-point", work), nprocs=size)  # type: ignore[no-untyped-call]


def _member(rank: int, size: int, meeting_point: Path, work: Callable[[Team], None]) -> None:
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    distributed.init_process_group(
        "gloo", init_method=meeting_point.as_uri(), rank=rank, world_size=size, timeout=PATIENCE
    )
    try:
        work(Team(rank, size))
    finally:
        distributed.destroy_process_group()
