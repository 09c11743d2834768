"""What a speaker may be called: one rule for the command, the protocol, the page and the library.

A name is Unicode text in NFC, with one space between its words and none around them. Two spellings are one name where
they differ in case, or in joiners and variation selectors alone: those change how a name looks, not whose it is.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence

from streamer.errors import ConfigurationError

#: In code points, after `clean_name`. The protocol's schema and the store's column say the same.
NAME_LENGTH = 100
#: What a client may send to mean such a name: decomposed, a code point becomes up to four.
RAW_LENGTH = 4 * NAME_LENGTH
#: So many names stand in a message; of the others their number.
FEW = 10

#: How the name of a guest begins, before its number.
GUEST = "guest-"
#: The name of a voice that nobody enrolled and that said too little to become a guest.
UNKNOWN = "unknown"

_GUEST = re.compile(rf"{GUEST}\d+")

_ZWNJ, _ZWJ = "\u200c", "\u200d"
_VARIATIONS = re.compile("[\ufe00-\ufe0f\U000e0100-\U000e01ef]")
#: The flags of Scotland, Wales and their like: a black flag, its letters as tags, the end of the tags.
_TAGGED_FLAG = re.compile("\U0001f3f4[\U000e0030-\U000e007a]{1,8}\U000e007f")
#: Letters by their category, and blank by their looks.
_BLANK = frozenset("\u115f\u1160\u2800\u3164\uffa0")
#: Scripts in which a joiner changes how letters meet (Unicode Standard, chapters 9, 12, 13, 16), by the first word of
#: their characters' names.
_SCRIPTS = (
    "ARABIC SYRIAC MANDAIC NKO MONGOLIAN PHAGS-PA ADLAM HANIFI DEVANAGARI BENGALI GURMUKHI GUJARATI ORIYA TAMIL TELUGU "
    "KANNADA MALAYALAM SINHALA TIBETAN MYANMAR KHMER BALINESE JAVANESE SUNDANESE BRAHMI KAITHI CHAKMA GRANTHA NEWA "
    "TIRHUTA SIDDHAM MODI TAKRI LEPCHA LIMBU MEETEI SAURASHTRA KHUDAWADI SHARADA"
)
_JOINING_SCRIPTS = frozenset(_SCRIPTS.split())


def clean_name(name: str) -> str:
    """A speaker's name in its one spelling.

    Raises ConfigurationError for one that cannot be a name: empty, too long, with a character that cannot be seen or
    that turns the writing round, or what strangers are called ("unknown", "guest-7").
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
    """What two spellings of one name share; for comparing only. `name` need not be clean."""
    spelled = unicodedata.normalize("NFD", unicodedata.normalize("NFC", " ".join(name.split())))
    folded = unicodedata.normalize("NFC", unicodedata.normalize("NFD", spelled.casefold()))
    return _VARIATIONS.sub("", folded.replace(_ZWNJ, "").replace(_ZWJ, ""))


def is_stranger(name: str) -> bool:
    """Whether this is what a voice is called that nobody enrolled."""
    return name == UNKNOWN or _GUEST.fullmatch(name) is not None


def few(names: Iterable[str]) -> str:
    """Names for a message, which must not grow with the number of people: the first of them, and how many more."""
    listed: Sequence[str] = names if isinstance(names, Sequence) else list(names)
    if not listed:
        return "nobody"
    more = f" and {len(listed) - FEW:,} more" if len(listed) > FEW else ""
    return ", ".join(name if len(name) <= 40 else name[:37] + "..." for name in listed[:FEW]) + more


def _unusable(name: str) -> str | None:
    """The first character that has no place in a name, if any."""
    name = _TAGGED_FLAG.sub("\U0001f3f4", name)
    for at, character in enumerate(name):
        if character in (_ZWNJ, _ZWJ):
            if not _joins(name, at):
                return character
        elif not character.isprintable() or character in _BLANK:
            return character
    return None


def _joins(name: str, at: int) -> bool:
    """Whether the joiner at this place joins, or keeps apart, what is around it."""
    before, after = name[:at], name[at + 1 : at + 2]
    if not before or before[-1] in (_ZWNJ, _ZWJ, " "):
        return False
    if _script(before[-1]) in _JOINING_SCRIPTS:
        return True
    # A family, a profession, a flag: an emoji, perhaps with a colour of skin or a variation selector, and another one.
    picture = _VARIATIONS.sub("", before)[-1:]
    return name[at] == _ZWJ and _is_picture(picture) and _is_picture(after)


def _script(character: str) -> str:
    return unicodedata.name(character, "").partition(" ")[0]


def _is_picture(character: str) -> bool:
    return character != "" and unicodedata.category(character) in ("So", "Sk")
