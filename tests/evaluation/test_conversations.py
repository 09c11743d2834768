import numpy as np
import pytest
import soundfile

from streamer.errors import ConfigurationError
from streamer.evaluation import conversations
from streamer.evaluation.conversations import Plan, Voices, converse
from streamer.evaluation.manifest import Utterance
from streamer.evaluation.spoken import speech_stretches

RATE = 16_000


@pytest.fixture(scope="module")
def voices(tmp_path_factory):
    """Eight "speakers" whose utterances are tones, each of a pitch of its own, with silence around them."""
    root = tmp_path_factory.mktemp("voices")
    utterances = []
    for speaker in range(8):
        for number in range(9):
            time = np.arange(2 * RATE) / RATE
            tone = 0.1 * np.sin(2 * np.pi * (200 + 100 * speaker) * time)
            wave = np.concatenate([np.zeros(3000), tone, np.zeros(3000)])
            path = f"{speaker}-{number}.wav"
            soundfile.write(root / path, wave, RATE)
            utterances.append(Utterance(path, f"s{speaker}"))
    noise = np.random.default_rng(0).standard_normal(RATE).astype(np.float32)
    return Voices.of(root, utterances, noise)


PLAN = Plan(seconds=40.0, snr_db=(30.0, 30.0), reverberation_s=(0.1, 0.15))


@pytest.mark.parametrize("seed", range(5))
def test_a_conversation_is_what_its_plan_says(voices, seed):
    made = converse(voices, PLAN, seed)
    speakers = {who for _, _, who in made.turns}
    assert 2 <= len(speakers) <= 6
    assert all(0 <= start < end <= len(made.samples) for start, end, _ in made.turns)
    assert all(end - start <= 15 * RATE for start, end, _ in made.turns)
    assert all(one[2] != after[2] for one, after in zip(made.turns, made.turns[1:], strict=False))
    assert made.enrolment.keys() & speakers
    assert len(made.enrolment.keys() - speakers) >= PLAN.absent
    assert all(len(samples) >= 10 * RATE for samples in made.enrolment.values())
    assert np.abs(made.samples).max() <= 1.0


def test_the_reference_is_where_the_voice_is(voices):
    made = converse(voices, PLAN, 3)
    for start, end, who in made.speech:
        alone = all(who == other or end <= a or b <= start for a, b, other in made.turns)
        if alone and end - start > RATE // 2:
            spectrum = np.abs(np.fft.rfft(made.samples[start:end] * np.hanning(end - start)))
            loudest = np.argmax(spectrum) * RATE / (end - start)
            assert loudest == pytest.approx(200 + 100 * int(who[1:]), abs=5)


def test_little_of_the_speech_overlaps(voices):
    for seed in range(5):
        made = converse(voices, PLAN, seed)
        active = np.zeros(len(made.samples), int)
        for start, end, _ in made.turns:
            active[start:end] += 1
        assert (active > 1).sum() <= PLAN.overlap * (active > 0).sum() + 1.5 * RATE


def test_the_same_seed_gives_the_same_conversation(voices):
    one, again, other = (converse(voices, PLAN, seed) for seed in (1, 1, 2))
    assert np.array_equal(one.samples, again.samples)
    assert one.turns == again.turns
    assert one.turns != other.turns


def test_a_recording_is_heard_for_speech_once(voices, monkeypatch):
    heard = []
    monkeypatch.setattr(conversations, "speech_stretches", lambda wave: heard.append(wave) or speech_stretches(wave))
    fresh = Voices(voices.speakers, voices.noise)
    one, again = (converse(fresh, PLAN, seed) for seed in (1, 1))
    assert np.array_equal(one.samples, again.samples)
    assert one.speech == again.speech
    assert 0 < len(heard) <= sum(map(len, voices.speakers.values()))
    known = len(heard)
    converse(fresh, PLAN, 1)
    assert len(heard) == known


def test_too_few_speakers_cannot_converse():
    with pytest.raises(ConfigurationError, match="0 speakers have 5 utterances or more"):
        Voices.of(None, [], np.zeros(0, np.float32))
