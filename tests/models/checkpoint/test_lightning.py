"""pyannote.audio's checkpoints load without its classes, and what is wrong with one is named."""

from __future__ import annotations

import io
import os
import pickle
import sys
import zipfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streamer import Inference, Model
from streamer.cli import main
from streamer.errors import CheckpointError, CheckpointMismatch, CheckpointUnreadable, WrongArchitecture
from streamer.models.checkpoint import torchfile
from streamer.models.checkpoint.torchfile import TorchFile

Writer = Callable[..., bytes]
CUTOFFS = "sincnet.conv1d.0.filterbank.low_hz_"


def load(data: bytes) -> Model:
    return Model.from_pretrained(io.BytesIO(data))


def real_segmentation_checkpoint() -> Path | None:
    """The PyanNet checkpoint that the package whisperx ships, if that is installed or unpacked somewhere."""
    given_path = os.environ.get("STREAMER_TEST_PYANNET")
    if given_path:
        return Path(given_path)
    spec = find_spec("whisperx")
    path = Path(spec.origin).parent / "assets" / "pytorch_model.bin" if spec and spec.origin else None
    return path if path and path.exists() else None


def test_a_checkpoint_of_pyannote_loads_without_its_packages(write_checkpoint, pyannote_model):
    model = load(write_checkpoint())
    assert "omegaconf" not in sys.modules
    assert model.fingerprint == pyannote_model.fingerprint
    assert model.card.details == {
        "class": "pyannote.audio XVectorSincNet",
        "versions": {"torch": "1.10.0+cu102", "pyannote.audio": "2.0.0"},
        "training_duration_s": 5.0,
    }
    assert model.card.threshold is None


def test_a_model_can_be_a_file_a_directory_or_a_file_object(write_checkpoint, pyannote_model, tmp_path):
    file = tmp_path / "nested" / "pytorch_model.bin"
    file.parent.mkdir()
    file.write_bytes(write_checkpoint())
    with file.open("rb") as opened:
        sources: list[Any] = [str(file), file, file.parent, str(file.parent), opened, io.BytesIO(file.read_bytes())]
        for source in sources:
            assert Model.from_pretrained(source).fingerprint == pyannote_model.fingerprint
    assert Model.from_pretrained(tmp_path, subfolder="nested").fingerprint == pyannote_model.fingerprint


def test_a_checkpoint_is_converted_to_our_format(write_checkpoint, pyannote_model, tmp_path):
    source, output = tmp_path / "pytorch_model.bin", tmp_path / "model.safetensors"
    source.write_bytes(write_checkpoint())
    assert main(["model", "convert", str(source), str(output), "--threshold", "0.4"]) == 0
    converted = Model.from_pretrained(output)
    assert converted.fingerprint == pyannote_model.fingerprint
    assert converted.card.threshold == 0.4
    assert Inference(converted).duration == 5.0, "what the checkpoint was trained on"
    samples = torch.randn(1, 1, 8_000)
    torch.testing.assert_close(converted(samples), pyannote_model(samples))


def test_weights_of_the_training_loss_are_left_out(write_checkpoint, pyannote_model):
    def with_loss(checkpoint: dict[str, Any]) -> None:
        checkpoint["state_dict"] = {**checkpoint["state_dict"], "loss_func.W": torch.zeros(7, 3)}

    model = load(write_checkpoint(with_loss))
    assert model.fingerprint == pyannote_model.fingerprint
    assert model.card.details["left_out"] == ["loss_func.W"]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16], ids=str)
def test_weights_of_another_precision_become_float32(write_checkpoint, dtype):
    def change(checkpoint: dict[str, Any]) -> None:
        checkpoint["state_dict"] = {**checkpoint["state_dict"]}
        checkpoint["state_dict"]["embedding.bias"] = torch.linspace(-1, 1, 512, dtype=dtype)

    weights = load(write_checkpoint(change)).network.embedding.bias
    torch.testing.assert_close(weights, torch.linspace(-1, 1, 512, dtype=dtype).float())


def test_views_and_parameters_are_read_as_they_are(write_checkpoint, pyannote_model):
    def change(checkpoint: dict[str, Any]) -> None:
        state = {**checkpoint["state_dict"]}
        state["embedding.weight"] = torch.nn.Parameter(state["embedding.weight"].t().contiguous().t())
        both = torch.stack([state["embedding.bias"], torch.zeros(512)], dim=1)
        state["embedding.bias"] = both[:, 0]
        checkpoint["state_dict"] = state

    assert load(write_checkpoint(change)).fingerprint == pyannote_model.fingerprint


def _set(key: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(checkpoint: dict[str, Any]) -> None:
        checkpoint["state_dict"] = {**checkpoint["state_dict"], key: value}

    return change


def _drop(key: str) -> Callable[[dict[str, Any]], None]:
    def change(checkpoint: dict[str, Any]) -> None:
        checkpoint["state_dict"] = {name: value for name, value in checkpoint["state_dict"].items() if name != key}

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    {
        "missing": (_drop(CUTOFFS), f"missing {CUTOFFS}"),
        "left over": (_set("decoder.weight", torch.zeros(1)), "left over decoder.weight"),
        "misshapen": (_set("embedding.bias", torch.zeros(7)), r"embedding.bias has shape \(7,\).*needs \(512,\)"),
        "NaN": (_set("embedding.bias", torch.full((512,), torch.nan)), "embedding.bias holds NaN"),
        "infinite": (_set(CUTOFFS, torch.full((40, 1), torch.inf)), "infinite"),
        "integers": (_set("embedding.bias", torch.zeros(512, dtype=torch.int64)), "embedding.bias is torch.int64"),
        "not a tensor": (_set("embedding.bias", [0.0] * 512), "embedding.bias is not a plain tensor"),
    }.values(),
    ids=["missing", "left over", "misshapen", "NaN", "infinite", "integers", "not a tensor"],
)
def test_tensors_that_do_not_fit_are_named(write_checkpoint, change, words):
    with pytest.raises(CheckpointMismatch, match=words):
        load(write_checkpoint(change))


def _hyper(key: str, value: Any) -> Callable[[dict[str, Any]], None]:
    return lambda checkpoint: checkpoint["hyper_parameters"].__setitem__(key, value)


@pytest.mark.parametrize(
    ("change", "words"),
    {
        "rate": (_hyper("sample_rate", 8_000), "sample_rate=8000; only 16000"),
        "channels": (_hyper("num_channels", 2), "num_channels=2; only 1"),
        "stride": (_hyper("sincnet", {"stride": 5}), "stride=5; only 10"),
        "dimension": (_hyper("dimension", "many"), "dimension='many'"),
        "no section": (lambda checkpoint: checkpoint.pop("pyannote.audio"), "not a checkpoint of pyannote.audio"),
        "no weights": (lambda checkpoint: checkpoint.pop("state_dict"), "no state_dict"),
        "another class": (
            lambda checkpoint: checkpoint["pyannote.audio"].update(architecture={"module": "acme", "class": "Net"}),
            "class acme.Net",
        ),
        "segmentation": (
            lambda checkpoint: checkpoint["pyannote.audio"]["architecture"].update({"class": "PyanNet"}),
            "is a PyanNet segmentation model of pyannote.audio; a speaker embedding model",
        ),
    }.values(),
    ids=["rate", "channels", "stride", "dimension", "no section", "no weights", "another class", "segmentation"],
)
def test_another_kind_of_model_is_named(write_checkpoint, change, words):
    with pytest.raises(WrongArchitecture, match=words):
        load(write_checkpoint(change))


def test_a_real_checkpoint_with_foreign_objects_reads(pyannote_model):
    path = real_segmentation_checkpoint()
    if path is None:
        pytest.skip("no real PyanNet checkpoint here: `pip install --no-deps whisperx`, or set STREAMER_TEST_PYANNET")
    with path.open("rb") as file:
        checkpoint = TorchFile(file, str(path))
        tensors = checkpoint.tensors(checkpoint.content["state_dict"])
    assert checkpoint.content["hyper_parameters"]["sincnet"] == {"stride": 10, "sample_rate": 16_000}
    reference = torch.load(path, weights_only=False) if find_spec("omegaconf") and find_spec("lightning") else None
    if reference is not None:
        for name, tensor in reference["state_dict"].items():
            torch.testing.assert_close(tensors[name], tensor)
    prefix = "sincnet."
    sincnet = {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
    network = type(pyannote_model.network.sincnet)(pyannote_model.architecture)
    network.load_state_dict(sincnet, strict=True)
    assert torch.isfinite(network(torch.randn(1, 1, 16_000))).all()
    with pytest.raises(WrongArchitecture, match="PyanNet segmentation model"):
        Model.from_pretrained(path)


class Evil:
    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.canary}",)


@pytest.mark.parametrize("place", ["hyper_parameters", "state_dict", "pyannote.audio", "callbacks"])
def test_a_hostile_checkpoint_runs_nothing(write_checkpoint, tmp_path, place):
    canary = tmp_path / "canary"

    def poison(checkpoint: dict[str, Any]) -> None:
        checkpoint[place] = {**checkpoint.get(place, {}), "evil": Evil(canary)}

    data = write_checkpoint(poison)
    if place == "state_dict":
        with pytest.raises(CheckpointMismatch, match="evil is not a plain tensor"):
            load(data)
    else:
        load(data)
    assert not canary.exists()
    pickle.loads(pickle.dumps(Evil(canary)))
    assert canary.exists(), "what was in the checkpoint is harmless; the test would prove nothing"


@pytest.mark.parametrize("part", [0.0, 0.00001, 0.5, 0.999])
def test_a_truncated_file_is_refused(write_checkpoint, part):
    data = write_checkpoint()
    with pytest.raises(CheckpointUnreadable, match=r"cut short|truncated|neither"):
        load(data[: int(len(data) * part)])


def test_a_compressed_archive_is_refused(write_checkpoint):
    bomb = rewritten(write_checkpoint(), compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(CheckpointUnreadable, match=r"is compressed, which torch\.save never does"):
        load(bomb)


def test_an_archive_that_unpacks_to_too_much_is_refused(write_checkpoint, monkeypatch):
    data = write_checkpoint()
    monkeypatch.setattr(torchfile, "MAX_BYTES", 10**6)
    with pytest.raises(CheckpointUnreadable, match="more than the limit of 1,000,000"):
        load(data)


def test_an_archive_of_too_many_entries_is_refused():
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for index in range(torchfile.MAX_ENTRIES + 1):
            archive.writestr(f"archive/data/{index}", b"")
    with pytest.raises(CheckpointUnreadable, match=f"up to {torchfile.MAX_ENTRIES:,}"):
        load(file.getvalue())


def test_a_directory_of_the_archive_that_is_too_long_is_not_read():
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for index in range(torchfile.MAX_DIRECTORY_BYTES // 40_000 + 1):
            entry = zipfile.ZipInfo(f"archive/data/{index}")
            entry.comment = bytes(40_000)
            archive.writestr(entry, b"")
    with pytest.raises(CheckpointUnreadable, match="where 4,194,304 are the limit"):
        load(file.getvalue())


def test_many_tensors_of_one_storage_are_not_copied_without_limit(write_checkpoint, pyannote_model, monkeypatch):
    def multiply(checkpoint: dict[str, Any]) -> None:
        shared = torch.zeros(500_000)
        checkpoint["state_dict"] = {f"loss_func.{index}": shared for index in range(100)}

    data = write_checkpoint(multiply)
    assert len(data) < 3_000_000
    monkeypatch.setattr(torchfile, "MAX_BYTES", 20_000_000)
    with pytest.raises(CheckpointUnreadable, match="more than 20,000,000 bytes in all"):
        load(data)


@pytest.mark.parametrize(
    ("entry", "content", "words"),
    [
        ("data/0", b"\0" * 12, "storage 0 has 12 bytes"),
        ("data/0", None, "data/0' is missing"),
        ("data.pkl", None, "no data.pkl"),
        ("byteorder", b"big", "big-endian"),
        ("data.pkl", b"\x80\x02}", "before seeing STOP"),
    ],
    ids=["short storage", "missing storage", "no pickle", "big-endian", "cut pickle"],
)
def test_a_tampered_archive_is_refused(write_checkpoint, entry, content, words):
    with pytest.raises(CheckpointUnreadable, match=words):
        load(rewritten(write_checkpoint(), {entry: content}))


def test_a_file_of_old_torch_is_refused_with_the_way_out(write_checkpoint):
    with pytest.raises(CheckpointUnreadable, match=r"torch before 1\.6.*`torch\.save` it again"):
        load(write_checkpoint(_use_new_zipfile_serialization=False))


@pytest.fixture(scope="module")
def small_file():
    file = io.BytesIO()
    torch.save({"state_dict": {"a": torch.arange(6.0).view(2, 3), "b": torch.ones(4, dtype=torch.int64)}}, file)
    return file.getvalue()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(position=st.integers(0, 1_500), value=st.integers(0, 255))
def test_a_damaged_byte_gives_the_tensors_or_a_typed_error(small_file, position, value):
    damaged = bytearray(small_file)
    damaged[position % len(damaged)] = value
    try:
        file = TorchFile(io.BytesIO(bytes(damaged)), "damaged")
        tensors = file.tensors(getattr(file.content, "get", {}.get)("state_dict"))
    except CheckpointError:
        return
    assert all(tensor.numel() <= 6 for tensor in tensors.values())


@pytest.mark.parametrize(
    "arguments",
    [
        (4, (2, 3), (3, 1)),
        (0, (2, 3), (4, 1)),
        (0, (7,), (0,)),
        (0, (2,), (-1,)),
        (0, (2, 3), (1,)),
        (True, (1,), (1,)),
    ],
    ids=["offset", "stride", "expanded", "negative", "uneven", "no integer"],
)
def test_a_tensor_beyond_its_storage_is_refused(small_file, arguments):
    file = TorchFile(io.BytesIO(small_file), "small")
    good = file.content["state_dict"]["a"]
    good.args = (good.args[0], *arguments)
    with pytest.raises(CheckpointUnreadable, match="tensor 'a' is damaged"):
        file.tensors(file.content["state_dict"])


def rewritten(
    data: bytes, changes: dict[str, bytes | None] | None = None, compression: int = zipfile.ZIP_STORED
) -> bytes:
    """The same archive with some entries replaced, or left out (None)."""
    result = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as source, zipfile.ZipFile(result, "w", compression) as target:
        for entry in source.infolist():
            content: bytes | None = source.read(entry)
            for name, replacement in (changes or {}).items():
                if entry.filename.endswith(f"/{name}"):
                    content = replacement
            if content is not None:
                target.writestr(entry.filename, content)
    return result.getvalue()
