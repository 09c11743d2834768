"""Plots of a verification experiment: DET curve and histogram of the scores. Needs matplotlib."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy.stats import norm

from streamer.evaluation.metrics import det_curve
from streamer.evaluation.verification import Result
from streamer.plot import histogram, new_figure

TICKS = np.array([0.001, 0.01, 0.05, 0.1, 0.2, 0.4])


def plot_det(results: dict[str, Result], path: Path) -> None:
    """Detection error trade-off (Martin et al., 1997): both error rates on normal deviate scales, one line for each
    set."""
    figure = new_figure(5, 5)
    axes = figure.subplots()
    for name, result in results.items():
        curve = det_curve(result.scores, result.same)
        # 0 and 1 are at infinity on these axes.
        rates = np.stack([curve.false_accept, curve.false_reject])
        inside = ((rates > 0) & (rates < 1)).all(0)
        label = f"{name or 'all'}, EER {100 * result.metrics['eer'].value:.2f} %"
        axes.plot(norm.ppf(curve.false_accept[inside]), norm.ppf(curve.false_reject[inside]), label=label)
    axes.plot(norm.ppf(TICKS[[0, -1]]), norm.ppf(TICKS[[0, -1]]), color="grey", linewidth=0.5)
    labels = [f"{100 * tick:g}" for tick in TICKS]
    axes.set_xticks(norm.ppf(TICKS), labels)
    axes.set_yticks(norm.ppf(TICKS), labels)
    limits = norm.ppf(TICKS[[0, -1]])
    axes.set(xlabel="false accepts, %", ylabel="false rejects, %", xlim=limits, ylim=limits, aspect="equal")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=120)


def plot_scores(results: dict[str, Result], path: Path) -> None:
    """Histograms of same- and different-speaker scores with the equal-error threshold, one row for each set."""
    figure = new_figure(7, 2.4 * len(results))
    for axes, (name, result) in zip(figure.subplots(len(results), squeeze=False)[:, 0], results.items(), strict=True):
        histogram(axes, result.scores, result.same, result.threshold)
        axes.set_title(name or "all")
    figure.savefig(path, dpi=120)
