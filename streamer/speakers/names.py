"""The rules for speaker names, shared by the command, the protocol, the page and the library.

A name is Unicode text in NFC, with single spaces between words and none around them. Two spellings are the same name
if they differ only in case, or in joiners and variation selectors, which change only the appearance of a name.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence

from streamer.errors import ConfigurationError

#: In code points, after `clean_name`. The protocol's schema and the store's column use the same limit.
NAME_LENGTH = 100
#: The longest input that a client may send for such a name: decomposed, a code point becomes up to four.
RAW_LENGTH = 4 * NAME_LENGTH
#: The number of names to list in a message; the others are counted.
FEW = 10

#: The prefix of a guest's name, before the number.
GUEST = "guest-"
#: The name of a voice that nobody enrolled and that has not spoken enough to become a guest.
UNKNOWN = "unknown"

_GUEST = re.compile(rf"{GUEST}\d+")

_ZWNJ, _ZWJ = "\u200c", "\u200d"
_VARIATIONS = re.compile("[\ufe00-\ufe0f\U000e0100-\U000e01ef]")
#: The flags of Scotland, Wales and similar: a black flag, the letters as tags, and an end tag.
_TAGGED_FLAG = re.compile("\U0001f3f4[\U000e0030-\U000e007a]{1,8}\U000e007f")
#: Letters by category that look blank.
_BLANK = frozenset("\u115f\u1160\u2800\u3164\uffa0")
#: Scripts in which a joiner changes how letters connect (Unicode Standard, chapters 9, 12, 13, 16), by the first word
#: of their character names.
_SCRIPTS = (
    "ARABIC SYRIAC MANDAIC NKO MONGOLIAN PHAGS-PA ADLAM HANIFI DEVANAGARI BENGALI GURMUKHI GUJARATI ORIYA TAMIL TELUGU "
    "KANNADA MALAYALAM SINHALA TIBETAN MYANMAR KHMER BALINESE JAVANESE SUNDANESE BRAHMI KAITHI CHAKMA GRANTHA NEWA "
    "TIRHUTA SIDDHAM MODI TAKRI LEPCHA LIMBU MEETEI SAURASHTRA KHUDAWADI SHARADA"
)
_JOINING_SCRIPTS = frozenset(_SCRIPTS.split())


def clean_name(name: str) -> str:
    """A speaker's name in its canonical spelling.

    Raises ConfigurationError if it cannot be a name: empty, too long, with a character that is invisible or reverses
    the writing direction, or reserved for strangers ("unknown", "guest-7").
    """
    clean = unicodedata.normalize("NFC", " ".join(name.split()))
    shown = clean if len(clean) <= 60 else clean[:57] + "..."
    if not clean:
        raise ConfigurationError(f"{name[:20]!r} cannot be a name: it is empty; use 1 to {NAME_LENGTH} characters.")
    if len(clean) > NAME_LENGTH:
        raise ConfigurationError(
            f"{shown!r} cannot be a name: it has {len(clean)} characters; use up to {NAME_LENGTH}."
        )
    if (wrong := _unusable(clean)) is not None:
        called = unicodedata.name(wrong, "a character without a name")
        raise ConfigurationError(
            f"{shown!r} cannot be a name: U+{ord(wrong):04X} ({called}) in it cannot be seen where it stands; leave it "
            "out."
        )
    if unicodedata.category(clean[0]).startswith("M"):
        raise ConfigurationError(f"{shown!r} cannot be a name: it begins with a mark; put a letter before it.")
    if is_stranger(clean.casefold()):
        raise ConfigurationError(f"{clean!r} is what strangers are called; choose another name.")
    return clean


def name_key(name: str) -> str:
    """A key that all spellings of a name share; for comparison only. `name` need not be clean."""
    spelled = unicodedata.normalize("NFD", unicodedata.normalize("NFC", " ".join(name.split())))
    folded = unicodedata.normalize("NFC", unicodedata.normalize("NFD", spelled.casefold()))
    return _VARIATIONS.sub("", folded.replace(_ZWNJ, "").replace(_ZWJ, ""))


def is_stranger(name: str) -> bool:
    """Whether this name is reserved for voices that nobody enrolled."""
    return name == UNKNOWN or _GUEST.fullmatch(name) is not None


def few(names: Iterable[str]) -> str:
    """A short list of names for a message of bounded length: the first ones, and the number of the others."""
    listed: Sequence[str] = names if isinstance(names, Sequence) else list(names)
    if not listed:
        return "nobody"
    more = f" and {len(listed) - FEW:,} more" if len(listed) > FEW else ""
    return ", ".join(name if len(name) <= 40 else name[:37] + "..." for name in listed[:FEW]) + more


def _unusable(name: str) -> str | None:
    """The first character that is not allowed in a name, if any."""
    name = _TAGGED_FLAG.sub("\U0001f3f4", name)
    for at, character in enumerate(name):
        if character in (_ZWNJ, _ZWJ):
            if not _joins(name, at):
                return character
        elif not character.isprintable() or character in _BLANK:
            return character
    return None


def _joins(name: str, at: int) -> bool:
    """Whether the joiner at this position joins or separates the characters around it."""
    before, after = name[:at], name[at + 1 : at + 2]
    if not before or before[-1] in (_ZWNJ, _ZWJ, " "):
        return False
    if _script(before[-1]) in _JOINING_SCRIPTS:
        return True
    # A family, a profession, a flag: an emoji, possibly with a skin tone or a variation selector, joined to another.
    picture = _VARIATIONS.sub("", before)[-1:]
    return name[at] == _ZWJ and _is_picture(picture) and _is_picture(after)


def _script(character: str) -> str:
    return unicodedata.name(character, "").partition(" ")[0]


def _is_picture(character: str) -> bool:
    return character != "" and unicodedata.category(character) in ("So", "Sk")
