"""Profiles as one JSON file, to carry them to another store or to keep a copy."""

from __future__ import annotations

import base64
import binascii
import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from streamer.errors import StoreUnreadable
from streamer.output import replacing
from streamer.speakers.names import clean_name
from streamer.speakers.profiles import Exemplar
from streamer.speakers.store import SpeakerStore

FORMAT = "streamer-speakers"
VERSION = 1


def export_speakers(store: SpeakerStore, path: str | os.PathLike[str]) -> int:
    """Write every profile to `path`, with the embeddings of all models. Returns the number of speakers.

    The file is written completely or not at all.
    """
    speakers: dict[str, list[dict[str, Any]]] = {}
    for profile in store.profiles():
        speakers.setdefault(profile.name, []).extend(
            {
                "fingerprint": profile.fingerprint,
                "embedding": base64.b64encode(exemplar.embedding.astype("<f4").tobytes()).decode(),
                "speech_s": exemplar.speech_s,
                "quality": exemplar.quality,
                "created": exemplar.created,
                "source": exemplar.source,
            }
            for exemplar in profile.exemplars
        )
    text = json.dumps({"format": FORMAT, "version": VERSION, "speakers": speakers}, ensure_ascii=False, indent=1)
    # Voice prints are private.
    with replacing(path, private=True) as new:
        new.write_text(text + "\n", encoding="utf-8")
    return len(speakers)


def import_speakers(store: SpeakerStore, path: str | os.PathLike[str]) -> int:
    """Add the profiles in `path` to the store, skipping exemplars that are already there. Returns the number of
    speakers.

    Raises StoreUnreadable if `export_speakers` did not write the file; the store is then unchanged.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
        if content["format"] != FORMAT or content["version"] > VERSION:
            raise ValueError(f"format {content['format']!r}, version {content['version']!r}")
        found = {
            clean_name(name): [(str(values["fingerprint"]), _exemplar(values)) for values in exemplars]
            for name, exemplars in content["speakers"].items()
        }
    except (ValueError, KeyError, TypeError, AttributeError, binascii.Error) as error:
        raise StoreUnreadable(
            f"{path} is no export of speakers that this version can read ({error}); "
            "`streamer speakers export` writes one."
        ) from error
    for name, exemplars in found.items():
        for fingerprint in sorted({fingerprint for fingerprint, _ in exemplars}):
            store.add(name, fingerprint, [exemplar for model, exemplar in exemplars if model == fingerprint])
    return len(found)


def _exemplar(values: dict[str, Any]) -> Exemplar:
    embedding = np.frombuffer(base64.b64decode(values["embedding"], validate=True), "<f4").astype(np.float32)
    if not len(embedding) or not np.isfinite(embedding).all():
        raise ValueError("an embedding that is empty or not finite")
    speech_s, quality, created = (float(values[name]) for name in ("speech_s", "quality", "created"))
    return Exemplar(embedding, speech_s, quality, created, str(values["source"]))
