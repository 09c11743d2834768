"""Messages about people who are in the store, but enrolled only under other models.

Embeddings of two models cannot be compared, and no audio is kept to compute new ones from.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from streamer.errors import ConfigurationError
from streamer.models.places import FINGERPRINTS, called
from streamer.speakers.names import few, name_key


def told(people: Mapping[str, Sequence[str]], model: str) -> str:
    """One line for anyone who listens with a model.

    people: name -> fingerprints of the models they are enrolled under, as `SpeakerStore.only_under_others` returns; at
    least one entry. model: the name of the model in use.
    """
    number = "1 person is" if len(people) == 1 else f"{len(people):,} people are"
    return f"{number} enrolled under another model, and unknown to {model}: {few(people)}. {way_out(people)}"


def among(people: Mapping[str, Sequence[str]], names: Iterable[str]) -> dict[str, Sequence[str]]:
    """The people who have one of these names, in any spelling."""
    keys = {name_key(name) for name in names}
    return {name: models for name, models in people.items() if name_key(name) in keys}


def check_roster(people: Mapping[str, Sequence[str]], wanted: Iterable[str]) -> None:
    """Raises ConfigurationError if a wanted speaker is enrolled only under other models."""
    if only := among(people, wanted):
        raise ConfigurationError(f"enrolled under another model only: {few(only)}. {way_out(only)}")


def way_out(people: Mapping[str, Sequence[str]]) -> str:
    """The remedy: listen with the model that knows most of them, or enrol them again."""
    (most, _), *_ = Counter(one for each in people.values() for one in each).most_common(1)
    model = (
        f"`--model {called(most)}`" if most in FINGERPRINTS.values() else f"the model of fingerprint {most} (--model)"
    )
    return f"Listen with {model}, or enrol them again: `streamer speakers enroll NAME FILE`."
