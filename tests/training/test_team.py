"""Members of a team take the same step, whatever part of the batch each of them saw."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from streamer.training.team import Team, run_team

BATCH = torch.arange(12.0).view(4, 3)


def gradient(part: Tensor, team: Team) -> tuple[Tensor, float]:
    layer = nn.Linear(3, 2)
    nn.init.ones_(layer.weight)
    nn.init.zeros_(layer.bias)
    layer(part).square().mean().backward()
    seconds = team.average(layer.parameters(), 10.0 + team.rank)
    assert layer.weight.grad is not None
    return layer.weight.grad, seconds


def learn(folder: Path, team: Team) -> None:
    half = BATCH[2 * team.rank : 2 * team.rank + 2]
    torch.save(gradient(half, team), folder / f"{team.rank}.pt")


def fail(team: Team) -> None:
    raise ValueError(f"member {team.rank} is ill")


def test_members_average_their_gradients_and_their_clocks(tmp_path):
    run_team(2, partial(learn, tmp_path))
    whole, _ = gradient(BATCH, Team())

    for rank in range(2):
        found, seconds = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        torch.testing.assert_close(found, whole)
        assert seconds == 10.5


def test_a_team_of_one_works_in_this_process():
    seen: list[Team] = []
    run_team(1, seen.append)
    assert [(team.rank, team.size, team.leads) for team in seen] == [(0, 1, True)]


def test_a_member_that_fails_ends_the_run():
    with pytest.raises(Exception, match="is ill"):
        run_team(2, fail)
