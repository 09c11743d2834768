"""What the turns of a meeting say of it."""

from __future__ import annotations

from html.parser import HTMLParser

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.audio.chunks import SAMPLE_RATE as S
from streamer.sinks.minutes import minutes
from streamer.sinks.statistics import statistics
from streamer.speakers.timeline import Span


def span(start_s, end_s, speaker, channel=None):
    end = None if end_s is None else round(end_s * S)
    return Span(1, round(start_s * S), end, speaker, 0.9, True, channel)


def test_talk_time_and_turns_are_those_of_the_turns():
    found = statistics([span(0, 4, "ada"), span(5, 6, "bob"), span(7, 9, "ada")], 10 * S)
    ada, bob = found.talks
    assert (ada.speaker, ada.seconds, ada.turns, ada.mean_s, ada.longest_s) == ("ada", 6.0, 2, 3.0, 4.0)
    assert (bob.share, bob.seconds) == (pytest.approx(1 / 7), 1.0)
    assert (found.spoken_s, found.overlap_s, found.length_s) == (7.0, 0.0, 10.0)


def test_a_turn_that_lasts_counts_until_now():
    assert statistics([span(6, None, "ada")], 10 * S).talks[0].seconds == 4.0


def test_who_begins_while_another_speaks_and_goes_on_interrupts():
    turns = [span(0, 5, "ada"), span(4, 8, "bob"), span(7.9, 9, "ada"), span(10, 20, "bob"), span(12, 13, "ada")]
    # Not at 7.9: a tenth of a second is no time together. Not at 12: that was said within the other's turn.
    assert statistics(turns, 20 * S).interruptions == {("bob", "ada"): 1}


def test_who_goes_on_after_another_interrupts_though_the_name_was_given_anew_where_both_spoke():
    turns = [span(0, 5, "ada"), span(4, 5, "bob"), span(5, 5.4, "ada"), span(5, 8, "bob")]
    assert statistics(turns, 20 * S).interruptions == {("bob", "ada"): 1}


@given(
    st.lists(
        st.tuples(st.integers(0, 300), st.integers(1, 100), st.sampled_from(["ada", "bob", "cem"])).map(
            lambda turn: (turn[0], turn[0] + turn[1], turn[2])
        ),
        max_size=12,
    )
)
def test_speech_and_overlap_are_counted_as_sample_by_sample(turns):
    speaking = np.zeros(401, int)
    for start, end, _ in turns:
        speaking[start:end] += 1
    found = statistics([Span(1, start, end, name, 1.0, True) for start, end, name in turns], 401)
    assert found.spoken_s * S == pytest.approx((speaking > 0).sum())
    assert found.overlap_s * S == pytest.approx((speaking > 1).sum())
    assert sum(talk.seconds for talk in found.talks) * S == pytest.approx(speaking.sum())


class Page(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.links, self.text = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.links += [value for name, value in attributes if name in ("src", "href") and value]

    def handle_data(self, data):
        self.text.append(data.strip())


def test_the_page_holds_all_and_needs_nothing_else():
    spans = [span(0, 4, "ada", 0), span(3, 9, "bob", 1), span(9.5, 11, "guest-1", 1)]
    page = Page(minutes(spans, 12 * S, "Budget", 0.0, ["door", "window"]))
    assert not page.links
    assert "script" not in page.tags
    for shown in ("Budget", "ada", "bob", "guest-1", "door", "window", "0:04.0", "All 3 turns"):
        assert shown in page.text
    assert any("1.0 s of it with two or more at once" in text for text in page.text)


def test_names_are_text_and_nothing_else():
    page = minutes([span(0, 4, "<img src=x onerror=alert(1)>")], 4 * S, "</title><script>alert(1)</script>")
    assert "script" not in Page(page).tags
    assert "img" not in Page(page).tags


def test_a_meeting_in_which_nobody_spoke_has_minutes_too():
    assert "Nobody spoke." in minutes([], 0, "Silence")
