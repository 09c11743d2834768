"""Pictures show what they are given: bars where turns are, near points for like voices, all trials in a histogram."""

from __future__ import annotations

import numpy as np
import pytest
from pyannote.core import Annotation, Segment

from streamer import plot
from streamer.errors import ConfigurationError


def annotation(*turns: tuple[float, float, str]) -> Annotation:
    found = Annotation()
    for track, (start, end, name) in enumerate(turns):
        found[Segment(start, end), track] = name
    return found


def bars(axes):
    """(start, end, colour) of each turn that is drawn."""
    return sorted(
        (path.vertices[:, 0].min(), path.vertices[:, 0].max(), tuple(collection.get_facecolor()[0]))
        for collection in axes.collections
        for path in collection.get_paths()
    )


def test_a_speaker_has_a_lane_and_one_colour_in_what_was_found_and_in_the_reference():
    found = annotation((0, 2, "Ada"), (2, 3, "Bob"), (5, 9, "Ada"))
    figure = plot.timeline(found, annotation((0, 9, "Ada")))
    upper, lower = figure.axes
    assert [(start, end) for start, end, _ in bars(upper)] == [(0, 2), (2, 3), (5, 9)]
    assert [text.get_text() for text in upper.get_yticklabels()] == ["Ada", "Bob"]
    [(_, _, ada)] = bars(lower)
    colours = [colour for _, _, colour in bars(upper)]
    assert colours == [ada, colours[1], ada]
    assert colours[1] != ada


def test_nobody_spoke_is_a_picture_too():
    assert not bars(plot.timeline(Annotation()).axes[0])


def test_voices_that_are_alike_lie_together():
    rng = np.random.default_rng(0)
    two = rng.standard_normal((2, 1, 64))
    vectors = (3 * two + 0.2 * rng.standard_normal((2, 20, 64))).reshape(40, 64)
    figure = plot.embeddings(vectors, ["Ada"] * 20 + ["Bob"] * 20)
    ada, bob = (np.asarray(collection.get_offsets()) for collection in figure.axes[0].collections)
    apart = np.linalg.norm(ada.mean(0) - bob.mean(0))
    assert apart > 10 * max(ada.std(0).max(), bob.std(0).max())


@pytest.mark.parametrize(("many", "labels"), [(2, 2), (4, 3)])
def test_a_map_of_too_few_or_of_other_labels_is_refused(many, labels):
    with pytest.raises(ConfigurationError, match=f"{labels} labels"):
        plot.embeddings(np.ones((many, 8)), ["Ada"] * labels)


def test_a_histogram_has_both_kinds_of_trials_and_the_threshold():
    figure = plot.scores([0.1, 0.2, 0.8, 0.9], [False, False, True, True], 0.5)
    [axes] = figure.axes
    assert [text.get_text() for text in axes.get_legend().get_texts()] == [
        "different speakers",
        "same speaker",
        "threshold 0.500",
    ]
