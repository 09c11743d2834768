from __future__ import annotations

import pytest

from streamer.engine.incremental import IncrementalModel
from streamer.models.model import Model


@pytest.fixture(scope="module")
def engine(any_model: Model) -> IncrementalModel:
    return IncrementalModel(any_model, speech="off")
