"""The optimisers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

import torch
from torch import nn
from torch.optim import AdamW, Muon, Optimizer

from streamer.errors import ConfigurationError
from streamer.training.network import Student
from streamer.training.recipe import Schedule


class MatrixMuon(Muon):
    """Muon (Jordan et al., 2024), which takes matrices only, for convolutions too.

    It steps a view of the kernel (outputs, inputs, taps) as the matrix (outputs, inputs x taps). A step is as long as
    one of AdamW at the same rate, so both follow one schedule (Liu et al., 2025).
    """

    def __init__(self, parameters: Iterable[nn.Parameter], lr: float, weight_decay: float) -> None:
        self.kernels = list(parameters)
        # `view` raises where a view is impossible; a step of a copy would have no effect.
        self.matrices = [nn.Parameter(kernel.data.view(len(kernel), -1)) for kernel in self.kernels]
        super().__init__(self.matrices, lr=lr, weight_decay=weight_decay, adjust_lr_fn="match_rms_adamw")

    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One step along the kernels' gradients."""
        for matrix, kernel in zip(self.matrices, self.kernels, strict=True):
            matrix.grad = cast(torch.Tensor, kernel.grad).flatten(1)
        super().step(closure)  # type: ignore[no-untyped-call]


def optimisers_of(student: Student, schedule: Schedule) -> list[Optimizer]:
    """The optimisers of a run: AdamW for all parameters, or, with `schedule.optimiser` "muon", for all but the matrices
    of the network.

    The prototypes of the margin softmax and the heads stay with AdamW: their rows are unrelated, or there is only one
    row. Raises ConfigurationError for any other optimiser.
    """
    if schedule.optimiser not in ("adamw", "muon"):
        raise ConfigurationError(f"there is no optimiser {schedule.optimiser!r}; there are 'adamw' and 'muon'.")
    offered = student.network.parameters() if schedule.optimiser == "muon" else ()
    kernels = [p for p in offered if p.requires_grad and p.dim() >= 2 and len(p) > 1]
    taken = {id(kernel) for kernel in kernels}
    rest = [p for p in student.parameters() if p.requires_grad and id(p) not in taken]
    groups = [
        {"params": [p for p in rest if p.dim() >= 2], "weight_decay": schedule.weight_decay},
        {"params": [p for p in rest if p.dim() < 2], "weight_decay": 0.0},
    ]
    optimisers: list[Optimizer] = [AdamW(groups, lr=schedule.rate, fused=True)]
    if kernels:
        optimisers.append(MatrixMuon(kernels, schedule.rate, schedule.weight_decay))
    return optimisers
