"""Scores are counted from what both voices score against a cohort, and voices like many others gain nothing by it."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.models.architecture import Architecture
from streamer.models.model import Model, ModelCard
from streamer.models.xvector import XVectorSincNet
from streamer.speakers.backend import CHUNK, Backend, Cohort
from streamer.speakers.candidates import Candidates
from streamer.speakers.guests import Guests
from streamer.speakers.profiles import Roster, unit
from streamer.speakers.scoring import Calibration
from streamer.speakers.settings import TrackerSettings
from streamer.speakers.tracker import Tracker

DIMENSION = 64
COSINES = Calibration((1.0,), (0.7,), (0.1,), (0.0,), (0.13,))
#: Normalised scores of one voice lie around 3, of two around 0.
NORMALISED = Calibration((1.0,), (3.0,), (1.0,), (0.0,), (1.0,))


def voices(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, DIMENSION)).astype(np.float32)


@given(st.integers(1, 40), st.integers(1, 60))
def test_norms_are_mean_and_deviation_of_the_best_scores(cohort_size, top):
    others, some = voices(cohort_size, 1), voices(5, 2)
    best = np.sort(unit(some) @ unit(others).T, axis=1)[:, -top:]

    norms = Cohort(others, top).norms(some)

    np.testing.assert_allclose(norms[:, 0], best.mean(1), atol=1e-6)
    np.testing.assert_allclose(norms[:, 1], np.maximum(best.std(1), 1e-6), atol=1e-6)


def test_norms_of_a_large_roster_are_those_of_each_speaker():
    cohort, many = Cohort(voices(30, 1), 10), voices(CHUNK + 7, 2)
    norms = cohort.norms(many)
    np.testing.assert_allclose(norms[[0, CHUNK, CHUNK + 6]], cohort.norms(many[[0, CHUNK, CHUNK + 6]]), atol=1e-6)


def test_a_crowd_of_similar_voices_is_told_apart_by_the_cohort():
    """Strangers of one kind (children, say) have a high cosine; against a cohort of that kind it is nothing much."""
    kind = np.zeros(DIMENSION, np.float32)
    kind[0] = 1.5 * np.sqrt(DIMENSION)
    crowd = voices(200, 3) + kind
    enrolled, stranger = crowd[0], crowd[1]
    roster = Roster(["ada"], enrolled[None], [10.0])

    def llr(backend: Backend, voice: np.ndarray) -> float:
        candidates = Candidates(roster, Guests(2, DIMENSION), backend, 0.3)
        return float(candidates.evidence(voice[None], np.array([3.0]))[1][0, 0])

    assert llr(Backend(COSINES), stranger) > 3
    assert llr(Backend(NORMALISED, Cohort(crowd[2:], 50)), stranger) < -2
    assert llr(Backend(NORMALISED, Cohort(crowd[2:], 50)), enrolled) > 3


@pytest.mark.parametrize("backend", [Backend(COSINES), Backend(NORMALISED, Cohort(voices(40, 7), 15))])
def test_what_is_compared_in_pairs_is_worth_what_it_is_among_candidates(backend):
    some, others = voices(3, 8), voices(4, 9)
    roster = Roster("abcd", others, [4.0, 8.0, 2.0, 1.0])
    heard_s = np.array([1.0, 3.0, 9.0])

    scores, llr = backend.compare(some, heard_s, others, roster.speech_s)

    expected = Candidates(roster, Guests(2, DIMENSION), backend, 0.3).evidence(some, heard_s)
    np.testing.assert_allclose(scores, expected[0][:, :4], atol=1e-6)
    np.testing.assert_allclose(llr, expected[1][:, :4], atol=1e-4)
    np.testing.assert_allclose(llr, backend.compare(others, roster.speech_s, some, heard_s)[1].T, atol=1e-4)


@pytest.mark.parametrize("cohort", [None, Cohort(voices(40, 7), 15)])
def test_a_guest_has_to_be_more_alike_where_the_model_knows_what_a_room_does(cohort):
    """One voice, enrolled and as a guest, heard again: each is weighed by its own calibration."""
    stricter = Calibration((1.0,), (4.0,), (1.0,), (0.0,), (1.0,))
    one, heard_s = voices(1, 4)[0], np.array([1.0, 3.0])
    some = voices(2, 5) + one
    guests = Guests(3, DIMENSION)
    slot = guests.add(one, 4.0, 0)
    guests.settle(slot)
    roster = Roster("ab", np.stack([one, voices(1, 6)[0]]), [4.0, 2.0])

    def evidence(backend: Backend) -> np.ndarray:
        return Candidates(roster, guests, backend, 0.3).evidence(some, heard_s)[1]

    plain, strict = Backend(NORMALISED, cohort), Backend(NORMALISED, cohort, stricter)
    only_strict = Backend(stricter, cohort)

    guest = len(roster) + slot
    np.testing.assert_allclose(evidence(plain)[:, guest], evidence(plain)[:, 0], atol=1e-5)
    np.testing.assert_allclose(evidence(strict)[:, :2], evidence(plain)[:, :2], atol=1e-6)
    np.testing.assert_allclose(evidence(strict)[:, guest], evidence(only_strict)[:, guest], atol=1e-6)


def test_a_guests_norms_follow_its_centroid():
    cohort, guests = Cohort(voices(30, 1), 10), Guests(3, DIMENSION)
    one, other = voices(2, 4)
    slot = guests.add(one, 2.0, 0)
    before = guests.norms(cohort)[slot].copy()
    np.testing.assert_allclose(before, cohort.norms(one[None])[0], atol=1e-5)

    guests.settle(slot)
    guests.hear(slot, other, 2.0, 1)

    np.testing.assert_allclose(guests.norms(cohort)[slot], cohort.norms(guests.centroids[slot][None])[0], atol=1e-6)
    assert not np.allclose(guests.norms(cohort)[slot], before, atol=1e-3)


@pytest.mark.parametrize(
    ("cohort", "details"),
    [(None, {}), (None, {"tracking": NORMALISED.to_dict()}), (voices(4), {})],
)
def test_a_model_without_a_cohort_and_its_calibration_is_scored_by_cosine(cohort, details):
    model = SimpleNamespace(card=ModelCard("m", details=details), cohort=cohort)
    assert Backend.of(model) == Backend(Calibration.of_card({}))


def test_a_model_brings_its_cohort_from_its_file(tmp_path):
    from streamer.models.checkpoint import save

    architecture = Architecture(front="log", norm="batch", dimension=DIMENSION)
    details = {"tracking": NORMALISED.to_dict(), "guests": COSINES.to_dict()}
    made = Model(XVectorSincNet(architecture), ModelCard("m", details=details), voices(9))
    save(tmp_path / "m.safetensors", made)

    model = Model.from_pretrained(tmp_path / "m.safetensors")
    backend = Backend.of(model)

    assert backend.cohort is not None and backend.calibration == NORMALISED and backend.guests == COSINES
    np.testing.assert_allclose(backend.cohort.embeddings, unit(voices(9)), atol=1e-3)
    assert model.fingerprint == made.fingerprint


def test_a_voice_like_nobody_of_the_cohort_is_not_taken_for_another_like_it():
    """Two strangers who have something in common that the cohort lacks, as people who share a microphone have."""
    rng = np.random.default_rng(12)
    cohort, common = voices(200, 11), np.zeros(DIMENSION, np.float32)
    common[0] = 1.0
    here = rng.standard_normal((2, DIMENSION)).astype(np.float32)
    here = unit(unit(here) + 0.8 * common)
    away = cohort.copy()
    away[:, 0] = -np.abs(away[:, 0])
    score = (here[:1] @ here[1:].T)[0]

    def normalised(cohort: Cohort) -> float:
        one, other = cohort.norms(here[:1]), cohort.norms(here[1:])
        return float(cohort.normalised(score, one, other)[0])

    usual = float(Cohort(cohort).norms(voices(50, 13))[:, 0].mean())
    in_full, by_half = normalised(Cohort(away)), normalised(Cohort(away, trust=0.5, usual=usual))
    assert by_half < in_full
    assert normalised(Cohort(away, trust=1.0, usual=usual)) == pytest.approx(in_full)


def test_a_model_brings_the_settings_that_go_with_its_scores():
    model = Model.from_pretrained("campplus-live")
    card = replace(model.card, details={**model.card.details, "tracker": {"short_rate": 2.5}})
    backend = Backend.of(Model(model.network, card, model.cohort))
    tracker = Tracker(Roster.empty(model.dimension), backend, model.embed)
    assert tracker.settings == replace(TrackerSettings(), short_rate=2.5)
    assert Tracker(Roster.empty(model.dimension), backend, model.embed, TrackerSettings()).settings.short_rate == 1.4
