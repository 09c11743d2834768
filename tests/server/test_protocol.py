"""The schema says what the code says, and nothing else gets through."""

from __future__ import annotations

import inspect
import json
import runpy
from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from streamer import protocol
from streamer.errors import ProtocolError
from streamer.speakers import events as tracker_events
from streamer.speakers.events import Event

DEFINITIONS = protocol.schema()["$defs"]
EVENTS = {
    cls.type: cls
    for _, cls in inspect.getmembers(tracker_events, inspect.isclass)
    if issubclass(cls, Event) and cls is not Event
}


def test_the_schema_is_a_valid_schema():
    Draft202012Validator.check_schema(protocol.schema())


@pytest.mark.parametrize("type_", sorted(protocol.message_types("client") | protocol.message_types("server")))
def test_every_message_has_an_example_that_passes(type_):
    body = DEFINITIONS[type_]
    for example in body["examples"]:
        assert protocol.read(json.dumps(example), body["x-from"]) == example
    assert body["examples"]


def test_the_schema_has_every_event_of_the_tracker_and_no_other():
    assert protocol.event_types() - {"window", "said"} == set(EVENTS)


@pytest.mark.parametrize("type_", sorted(EVENTS))
def test_an_event_has_the_fields_that_the_schema_has(type_):
    properties = set(DEFINITIONS[type_]["properties"])
    assert properties - {"type", "id", "time"} == {field.name for field in fields(EVENTS[type_])}


def test_the_settings_are_the_fields_of_start_with_its_defaults():
    start = DEFINITIONS["start"]["properties"]
    settings = protocol.Settings.of({"type": "start"}).to_dict()
    assert {name: start[name]["default"] for name in settings} == settings
    assert set(DEFINITIONS["settings"]["properties"]) == set(settings)


def test_settings_survive_the_wire():
    asked = {"sample_rate": 48000.0, "roster": ["Ada"], "channels": 2, "channel_mode": "split", "step": 0.5}
    settings = protocol.Settings.of(asked)
    assert protocol.Settings.of(json.loads(json.dumps(settings.to_dict()))) == settings
    assert settings.streams == 2


def test_opus_counts_at_48_khz_whatever_rate_is_said():
    assert protocol.Settings.of({"encoding": "opus", "sample_rate": 16000}).sample_rate == 48_000


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "not JSON"),
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ('{"type":"ping","request":NaN}', "NaN"),
        ('{"type":"ack","event":' + "9" * 5000 + "}", "not JSON"),
        ("[]", "an array"),
        ("null", "null"),
        ('{"type":["ack"]}', "not a message"),
        ('{"type":"ready"}', "not a message of the client"),
        ('{"type":"start","sample_rat":8000}', "sample_rat"),
        ('{"type":"start","sample_rate":"8000"}', "start`, sample_rate"),
        ('{"type":"start","sample_rate":7999}', "7999 is less than the minimum of 8000"),
        ('{"type":"ack"}', "'event' is a required property"),
        ('{"type":"ack","event":true}', "True"),
        ('{"type":"enroll","action":"start","name":"A\\ud800"}', "not JSON"),
        ('{"type":"enroll","action":"start","name":"A\\u0000"}', "does not match"),
        (" " * (protocol.MAX_TEXT_BYTES + 1), "too long"),
    ],
    ids=lambda value: str(value)[:24].strip() or "blank",
)
def test_a_broken_message_is_refused_with_what_is_wrong(text, says):
    with pytest.raises(ProtocolError) as error:
        protocol.read(text, "client")
    assert says in str(error.value)
    assert len(str(error.value)) < 800


# A small alphabet: what breaks readers is in it, and drawing from all of Unicode is slow.
WORDS = st.text('aZ0 \x00\x7f\u00e9\u2028\U0001f600"\\', max_size=8)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | WORDS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS, inner, max_size=4),
    max_leaves=12,
)
FIELDS = sorted({field for body in DEFINITIONS.values() for field in body.get("properties", {})})


@given(
    st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=6),
    st.sampled_from(sorted(protocol.message_types("client"))),
)
def test_whatever_json_comes_is_read_or_refused(body, type_):
    try:
        message = protocol.read(json.dumps({**body, "type": type_}), "client")
    except ProtocolError:
        return
    Draft202012Validator(protocol.schema()).validate(message)


def test_the_page_about_the_protocol_is_up_to_date():
    docs = Path(__file__).parents[2] / "docs"
    page = runpy.run_path(str(docs / "build_protocol.py"))["page"]()
    assert (docs / "protocol.md").read_text() == page, "run: python docs/build_protocol.py"
    for type_ in protocol.message_types("client") | protocol.message_types("server"):
        assert f"### `{type_}`" in page
