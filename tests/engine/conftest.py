from __future__ import annotations

import pytest
from toy import TOYS, toy_model

from streamer.engine.incremental import IncrementalModel

#: What a network with a memory says of a window depends on what was before it.
WITHOUT_MEMORY = ["window norms", "frame local", "frame local, by tensors", "toy", "toy by windows", "campplus"]
WITH_MEMORY = ["toy that remembers", "toy that remembers, by tensors", "campplus of the past"]


@pytest.fixture(scope="module")
def engine_of(pyannote_model, local_model, campplus, campplus_past):  # type: ignore[no-untyped-def]
    """An engine by its kind, without a speech detector."""
    models = {
        "window norms": pyannote_model,
        "frame local": local_model,
        "campplus": campplus,
        "campplus of the past": campplus_past,
    }

    def make(kind: str) -> IncrementalModel:
        kind, _, way = kind.partition(", ")
        # By tensors, as on a device other than a CPU.
        compiled = False if way else None
        return IncrementalModel(models.get(kind) or toy_model(TOYS[kind]), speech="off", compiled=compiled)

    return make


@pytest.fixture(scope="module", params=[*WITHOUT_MEMORY, *WITH_MEMORY])
def engine(request, engine_of):  # type: ignore[no-untyped-def]
    """All kinds of network that there are, one after the other."""
    found: IncrementalModel = engine_of(request.param)
    return found


@pytest.fixture(scope="module", params=WITHOUT_MEMORY)
def forgetful(request, engine_of):  # type: ignore[no-untyped-def]
    """Those of which a window is a window alone."""
    found: IncrementalModel = engine_of(request.param)
    return found
