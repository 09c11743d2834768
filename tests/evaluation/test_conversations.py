from dataclasses import replace

import numpy as np
import pytest
import soundfile

from streamer.audio.chunks import SAMPLE_RATE as RATE
from streamer.errors import ConfigurationError
from streamer.evaluation import conversations
from streamer.evaluation.conversations import Plan, Voices, converse
from streamer.evaluation.manifest import Utterance
from streamer.evaluation.rooms import AcousticChannel
from streamer.evaluation.spoken import speech_stretches


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


def test_the_old_kind_draws_what_it_drew(voices):
    # The figures of the documentation are of these very conversations.
    old = converse(voices, PLAN, 3)
    assert old.channel == old.enrolled_over == ""
    assert old.turns[0] == (8000, 167_424, "s2")
    assert old.turns[1][1:] == (211_352, "s6")


def test_all_voices_of_a_shared_channel_go_through_its_condition(voices):
    plan = Plan.of_rooms(40.0, condition="lowpass-4000", enrol_condition="clean", snr_db=(10.0, 10.0))
    own = converse(voices, replace(plan, enrolled_over="same"), 5)
    other = converse(voices, replace(plan, enrolled_over="other"), 5)

    assert (own.channel, own.enrolled_over, other.enrolled_over) == ("lowpass-4000", "lowpass-4000", "clean")
    # The conversation is the same one; only how the enrolled were recorded differs.
    assert np.array_equal(own.samples, other.samples)
    assert own.turns == other.turns
    assert own.enrolment.keys() == other.enrolment.keys()
    for heard in (own.samples, *own.enrolment.values()):
        assert above(heard, 4_200) < 1e-5
    for heard in other.enrolment.values():
        assert above(heard, 4_200) > 1e-3  # the noise of another room, to the end of the band


def above(wave, hertz):
    power = np.abs(np.fft.rfft(wave)) ** 2
    return power[np.fft.rfftfreq(len(wave), 1 / RATE) > hertz].sum() / power.sum()


def test_a_drawn_channel_is_one_of_many(voices):
    made = [converse(voices, Plan.of_rooms(12.0), seed).channel for seed in range(8)]
    assert len(set(made)) > 3


def test_a_room_has_short_turns(voices):
    lengths = [(b - a) / RATE for seed in range(6) for a, b, _ in converse(voices, Plan.of_rooms(40.0), seed).turns]
    assert 0.15 < np.mean(np.array(lengths) < 1.5) < 0.5


@pytest.mark.parametrize("control", [0.0, 0.7])
def test_a_level_control_brings_levels_together_and_moves_nothing(control):
    rng = np.random.default_rng(0)
    channel = replace(AcousticChannel.drawn(rng, (0.2, 0.2), "clean"), control=control, release_s=0.3, gain_db=0.0)
    sound = rng.standard_normal(8 * RATE).astype(np.float32)
    sound *= np.repeat([0.01, 0.1], 4 * RATE)

    heard = channel.hear(sound, rng)

    loud, quiet = (np.sqrt(np.mean(heard[part] ** 2)) for part in (slice(6 * RATE, None), slice(2 * RATE, 4 * RATE)))
    assert loud / quiet == pytest.approx(10 if control == 0 else 10**0.3, rel=0.1)
    assert heard.shape == sound.shape
