"""Plots for notebooks and reports: `plot.timeline`, `plot.embeddings`, `plot.scores`. Needs matplotlib.

Each returns a matplotlib Figure without a window or global state; a notebook shows it, and
`figure.savefig("talk.png")` saves it.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from streamer.errors import ConfigurationError, MissingDependency
from streamer.speakers.timeline import Timeline

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from pyannote.core import Annotation

#: The colours of Okabe and Ito, which colour-blind people can tell apart: https://jfly.uni-koeln.de/color/
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#000000")


def timeline(found: Timeline | Annotation, reference: Annotation | None = None) -> Figure:
    """Who spoke when, one lane for each speaker, with the lanes of a reference below, if there is one.

    A name in both has one colour.
    """
    told = found.to_annotation() if isinstance(found, Timeline) else found
    parts = [("", told)] if reference is None else [("found", told), ("reference", reference)]
    labels = [[str(label) for label in part.labels()] for _, part in parts]
    colours = _colours(label for part in labels for label in part)
    lanes = sum(max(1, len(part)) for part in labels)
    figure = new_figure(9, 0.6 + 0.4 * lanes)
    ratios = [max(1, len(part)) for part in labels]
    rows = figure.subplots(len(parts), sharex=True, squeeze=False, gridspec_kw={"height_ratios": ratios})[:, 0]
    for axes, (title, part), names in zip(rows, parts, labels, strict=True):
        for lane, name in enumerate(names):
            turns = [(turn.start, turn.duration) for turn in part.label_timeline(name)]
            axes.broken_barh(turns, (lane - 0.4, 0.8), facecolors=colours[name])
        axes.set_yticks(range(len(names)), names)
        axes.set_ylim(max(1, len(names)) - 0.5, -0.5)
        axes.set_title(title, loc="left", fontsize="medium")
        axes.grid(axis="x", alpha=0.3)
    rows[-1].set_xlabel("seconds")
    return figure


def embeddings(vectors: ArrayLike, labels: Sequence[str]) -> Figure:
    """A map of embeddings (many, dimension): a projection of their directions.

    labels: the speaker of each; one colour for each label. The axes are the first two principal components of the unit
    vectors, labelled with their shares of the variance. Raises ConfigurationError if the numbers of vectors and labels
    differ, or there are fewer than 3.
    """
    points = np.asarray(vectors, np.float64)
    if points.ndim != 2 or len(points) != len(labels) or len(points) < 3:
        raise ConfigurationError(
            f"a map needs 3 embeddings or more, as (many, dimension), and a label for each; given are {points.shape} "
            f"and {len(labels)} labels."
        )
    placed, share = _principal(points)
    figure = new_figure(5.5, 5)
    axes = figure.subplots()
    colours, owners = _colours(labels), np.array([str(label) for label in labels])
    for name in colours:
        mine = owners == name
        axes.scatter(placed[mine, 0], placed[mine, 1], s=18, color=colours[name], label=name, alpha=0.8)
    axes.set(xlabel=f"first component, {share[0]:.0%}", ylabel=f"second component, {share[1]:.0%}", aspect="equal")
    axes.grid(alpha=0.3)
    axes.legend()
    return figure


def scores(values: ArrayLike, same: ArrayLike, threshold: float | None = None) -> Figure:
    """Histograms of the scores of trials: values (trials,), and whether each is of the same speaker, (trials,) bool."""
    figure = new_figure(7, 2.6)
    histogram(figure.subplots(), np.asarray(values, np.float64), np.asarray(same, bool), threshold)
    return figure


def histogram(
    axes: Axes, values: NDArray[np.floating], same: NDArray[np.bool_], threshold: float | None = None
) -> None:
    """See `scores`."""
    bins = np.linspace(values.min(), values.max(), 80).tolist()
    axes.hist(values[~same], bins, density=True, alpha=0.6, label="different speakers")
    axes.hist(values[same], bins, density=True, alpha=0.6, label="same speaker")
    if threshold is not None:
        axes.axvline(threshold, color="black", linewidth=1, label=f"threshold {threshold:.3f}")
    axes.set(xlabel="score", ylabel="density")
    axes.legend()


def new_figure(width: float, height: float) -> Figure:
    """Inches. Raises MissingDependency without matplotlib."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingDependency("plots need matplotlib: pip install 'speaker-streamer[notebook]'.") from error

    class Picture(Figure):
        """A figure that a notebook shows without pyplot and its global state."""

        def _repr_png_(self) -> bytes:
            file = io.BytesIO()
            self.savefig(file, format="png")
            return file.getvalue()

    return Picture(figsize=(width, height), layout="constrained")


def _principal(points: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Unit vectors on their first two principal components, (many, 2), and each component's share of the variance."""
    directions = points / np.maximum(np.linalg.norm(points, axis=1, keepdims=True), 1e-12)
    left, size, _ = np.linalg.svd(directions - directions.mean(0), full_matrices=False)
    variance = size**2
    return left[:, :2] * size[:2], variance[:2] / max(float(variance.sum()), 1e-12)


def _colours(labels: Iterable[str]) -> dict[str, str]:
    """A colour for each label, in order of first occurrence."""
    names = dict.fromkeys(str(label) for label in labels)
    return {name: COLOURS[place % len(COLOURS)] for place, name in enumerate(names)}
