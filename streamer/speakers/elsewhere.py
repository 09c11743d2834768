"""People whom a store has, but a model does not know, since they were enrolled under others: what to say of them.

Voice prints of two models cannot be compared, and no audio is kept that others could be made from.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from streamer.errors import ConfigurationError
from streamer.models.places import FINGERPRINTS, called
from streamer.speakers.names import few, name_key


def told(people: Mapping[str, Sequence[str]], model: str) -> str:
    """One line for whoever listens with a model.

    people: name -> fingerprints of the models who know them, as `SpeakerStore.only_under_others` gives them; at least
    one. model: the name of the one that does not.
    """
    number = "1 person is" if len(people) == 1 else f"{len(people):,} people are"
    return f"{number} enrolled under another model, and unknown to {model}: {few(people)}. {way_out(people)}"


def among(people: Mapping[str, Sequence[str]], names: Iterable[str]) -> dict[str, Sequence[str]]:
    """Those of the people who have one of these names, in whatever spelling."""
    keys = {name_key(name) for name in names}
    return {name: models for name, models in people.items() if name_key(name) in keys}


def check_roster(people: Mapping[str, Sequence[str]], wanted: Iterable[str]) -> None:
    """Raises ConfigurationError where some of those to listen for are enrolled, but under other models alone."""
    if only := among(people, wanted):
        raise ConfigurationError(f"enrolled under another model only: {few(only)}. {way_out(only)}")


def way_out(people: Mapping[str, Sequence[str]]) -> str:
    """What to do about it: listen with the model that knows most of them, or enrol them anew."""
    (most, _), *_ = Counter(one for each in people.values() for one in each).most_common(1)
    model = (
        f"`--model {called(most)}`" if most in FINGERPRINTS.values() else f"the model of fingerprint {most} (--model)"
    )
    return f"Listen with {model}, or enrol them again: `streamer speakers enroll NAME FILE`."
