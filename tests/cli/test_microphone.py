import io

import pytest
from rich.console import Console

from streamer.audio.sources import FileSource
from streamer.cli.microphone import listen
from streamer.demo import ENROLMENT
from streamer.speakers.enrolment import EnrolmentSettings
from streamer.speakers.library import Speakers


@pytest.mark.parametrize(("wanted_s", "stops_early"), [(4.0, True), (60.0, False)], ids=["enough", "source ends"])
async def test_enrolment_by_voice_ends_with_enough_speech_or_with_the_sound(wanted_s, stops_early):
    settings = EnrolmentSettings(wanted_s=wanted_s)
    console = Console(file=io.StringIO(), force_terminal=True)
    with Speakers("default", "sqlite://", settings) as speakers:
        coach = speakers.coach("carol")
        await listen(speakers, coach, FileSource(ENROLMENT["carol"]), console)
        verdict = speakers.commit("carol", coach)
        assert speakers.profile("carol").speech_s == pytest.approx(verdict.speech_s, abs=0.01)
    assert (verdict.speech_s < 7.0) == stops_early
    assert f"of {wanted_s:g} s" in console.file.getvalue()
