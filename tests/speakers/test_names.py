"""One rule for names, for whoever gives one."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.errors import ConfigurationError
from streamer.speakers.names import FEW, NAME_LENGTH, clean_name, few, is_stranger, name_key

PERSIAN, SINHALA = "\u0639\u0644\u06cc\u200c\u0631\u0636\u0627", "\u0dc1\u0dca\u200d\u0dbb\u0dd3"


@pytest.mark.parametrize(
    "name",
    [
        PERSIAN,
        SINHALA,
        "\u0d05\u0d35\u0d28\u0d4d\u200d",  # Malayalam, an old chillu at the end
        "\u09b0\u200d\u09cd\u09af\u09be\u09ac",  # Bengali, ya-phalaa after ra
        "Dev \U0001f469\u200d\U0001f4bb",
        "\U0001f469\U0001f3fd\u200d\U0001f680",
        "\u2764\ufe0f\u200d\U0001f525",
        "Mac \U0001f3f4\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f",
        "\u845b\U000e0100\u57ce",
        "Ada [sales]",
        "O'Neil-Smith, Jr.",
    ],
    ids=ascii,
)
def test_names_that_people_have_are_taken_as_they_are(name):
    assert clean_name(name) == name


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("", "empty"),
        (" \t\n", "empty"),
        ("x" * (NAME_LENGTH + 1), "101 characters; use up to 100"),
        ("\u202eadA", "RIGHT-TO-LEFT OVERRIDE"),
        ("Ada\u2066", "LEFT-TO-RIGHT ISOLATE"),
        ("Ada\u200f", "RIGHT-TO-LEFT MARK"),
        ("A\u200dda", "ZERO WIDTH JOINER"),
        ("Ada\u200c", "ZERO WIDTH NON-JOINER"),
        ("\u200c" + PERSIAN, "ZERO WIDTH NON-JOINER"),
        ("\u0639\u200c\u200c\u0639", "ZERO WIDTH NON-JOINER"),
        ("A\u200bda", "ZERO WIDTH SPACE"),
        ("A\u00adda", "SOFT HYPHEN"),
        ("a\0b", r"U\+0000"),
        ("\ud800", r"U\+D800"),
        ("\u3164", "HANGUL FILLER"),
        ("\U0001f3f4\U000e0067", "TAG LATIN SMALL LETTER G"),
        ("\u0301a", "begins with a mark"),
        ("unknown", "strangers"),
        ("Unknown", "strangers"),
        ("guest-7", "strangers"),
        ("GUEST-12", "strangers"),
        ("guest-\u0663", "strangers"),
    ],
    ids=ascii,
)
def test_what_cannot_be_a_name_is_refused_and_why(name, why):
    with pytest.raises(ConfigurationError, match=why):
        clean_name(name)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (" Ada ", "Ada"),
        ("Ada  Lovelace", "Ada\tLovelace"),
        ("Zoe\u0308", "Zo\u00eb"),
        ("ADA", "ada"),
        ("STRASSE", "Stra\u00dfe"),
        ("\u03a3\u03af\u03c3\u03c5\u03c6\u03bf\u03c2", "\u03a3\u038a\u03a3\u03a5\u03a6\u039f\u03a3"),
        (PERSIAN, PERSIAN.replace("\u200c", "")),
        ("\u2764\ufe0f", "\u2764"),
    ],
    ids=ascii,
)
def test_two_spellings_of_one_name_are_one_name(one, other):
    assert name_key(one) == name_key(other)


def test_names_that_only_look_alike_are_two():
    assert name_key("Ada\u00b2") != name_key("Ada2")
    assert name_key("Ada") != name_key("\u0410da")  # Cyrillic


@given(st.text(max_size=40))
def test_a_clean_name_is_clean_and_has_the_key_of_what_was_given(text):
    try:
        clean = clean_name(text)
    except ConfigurationError:
        return
    assert clean_name(clean) == clean
    assert unicodedata.is_normalized("NFC", clean)
    assert name_key(clean) == name_key(text)
    assert not is_stranger(clean)


def test_a_message_never_grows_with_the_number_of_people():
    assert few([]) == "nobody"
    assert few(["Ada", "Bob"]) == "Ada, Bob"
    many = few([f"person {number} {'x' * 100}" for number in range(100_000)])
    assert many.endswith(f" and {100_000 - FEW:,} more")
    assert len(many) < 600
