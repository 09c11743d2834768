"""A corpus on Ray Data has the embeddings that each file alone has, and is never done twice."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from streamer.cluster.corpus import Embedded, embed
from streamer.demo import ENROLMENT
from streamer.errors import ConfigurationError
from streamer.inference import Inference
from streamer.models.model import Model

pytest.importorskip("ray", reason="Ray is not installed: pip install 'speaker-streamer[ray]'")
parquet = pytest.importorskip("pyarrow.parquet")
pytestmark = pytest.mark.filterwarnings("ignore")  # Ray's own are not ours to mend


@pytest.fixture(scope="module")
def ray():
    import ray

    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, object_store_memory=100_000_000)
    yield ray
    ray.shutdown()


def test_a_corpus_is_embedded_once_and_goes_on_where_it_was_stopped(ray, tmp_path):
    files = []
    for name, source in ENROLMENT.items():
        files.append(tmp_path / f"{name}{source.suffix}")
        shutil.copy(source, files[-1])
    (tmp_path / "broken.wav").write_bytes(b"RIFF")
    output = tmp_path / "corpus"

    assert embed(files[:2], output, model="sincnet") == Embedded(2, 0, 0)
    there = {file.name: file.read_bytes() for file in output.glob("*.parquet")}
    # A worker that was killed leaves half a file.
    (output / "half.parquet").write_bytes(next(iter(there.values()))[:100])
    assert embed([*files, tmp_path / "broken.wav"], output, model="sincnet") == Embedded(len(files) - 2, 2, 1)
    assert there.items() <= {file.name: file.read_bytes() for file in output.glob("*.parquet")}.items()
    assert embed(files, output, model="sincnet") == Embedded(0, len(files), 0)

    rows = {row["path"]: row for file in output.glob("*.parquet") for row in parquet.read_table(file).to_pylist()}
    inference = Inference(Model.from_pretrained("sincnet"), window="whole")
    for file in files:
        row = rows[str(file)]
        assert row["problem"] is None
        np.testing.assert_allclose(np.array(row["embedding"]), inference(file)[0], rtol=1e-4, atol=1e-5)
    assert rows[str(tmp_path / "broken.wav")]["embedding"] is None
    assert "broken.wav" in rows[str(tmp_path / "broken.wav")]["problem"]


def test_numbers_that_cannot_be_are_refused(tmp_path):
    with pytest.raises(ConfigurationError, match="workers=0"):
        embed([], tmp_path, workers=0)
