"""Plot the learning curves of a run."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

SMOOTHED = 50  # steps
#: Options of legends, in one row above the curves.
_ABOVE: dict[str, Any] = {
    "loc": "lower center",
    "bbox_to_anchor": (0.5, 1.0),
    "ncols": 5,
    "columnspacing": 1.0,
    "handlelength": 1.0,
    "fontsize": "small",
    "frameon": False,
}


def read_csv(path: Path) -> dict[str, npt.NDArray[np.float64]]:
    """The columns of a log, each (rows,)."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return {key: np.array([float(row[key]) for row in rows]) for key in rows[0]} if rows else {}


def plot_curves(folder: Path) -> None:
    """Draw `curves.png` from the folder's `log.csv` (losses) and `dev.csv` (EERs), if they exist."""
    if not (folder / "log.csv").exists():
        return
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    log = read_csv(folder / "log.csv")
    width = min(SMOOTHED, len(log["step"]))
    for name in ("distillation", "similarity", "margin", "speech", "frames"):
        if name in log:
            values = np.convolve(log[name], np.ones(width) / width, "valid")
            left.plot(log["step"][width - 1 :], values, label=name)
    left.set(xlabel="step", ylabel="loss", yscale="log")
    left.legend(**_ABOVE)
    if (folder / "dev.csv").exists():
        found = read_csv(folder / "dev.csv")
        sets = [name for name in found if name not in ("step", "seconds")]
        for name in sets:
            right.plot(found["step"], found[name], "o-", label=name)
        right.set(xlabel="step", ylabel="EER, %", ylim=(0, None))
        if sets:
            right.legend(**_ABOVE)
    figure.savefig(folder / "curves.png", dpi=120)
