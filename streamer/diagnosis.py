"""Checks what streamer needs or can use on this machine, and says what to do about problems.

Every check is independent: if one fails, it reports that, and the others continue.
"""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib import import_module, metadata
from pathlib import Path
from typing import Literal

from streamer.errors import MissingDependency, StreamerError

DISTRIBUTION = "speaker-streamer"
PYTHONS = ((3, 11), (3, 13))
#: An optional module, what it adds, and the extra that installs it.
OPTIONAL = (
    ("onnxruntime", "networks of your own from ONNX files", "onnx"),
    ("psycopg", "a speaker store on PostgreSQL", "postgres"),
    ("matplotlib", "plots of `streamer evaluate`", "evaluation"),
)

#: The checks that everything depends on.
NEEDED = ("python", "packages", "torch", "processor", "compiled loops", "model", "store")

State = Literal["ok", "missing", "broken"]


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """The result of one check.

    state: "ok"; "missing" for something that only some commands need; "broken" for something that everything needs.
    said: the finding. advice: what to do; empty if there is nothing to do.
    """

    name: str
    state: State
    said: str
    advice: str = ""


def examine(model: str = "default", device: str = "auto", store: str | None = None) -> Iterator[Diagnosis]:
    """Run all checks in order. The arguments are those of the commands."""
    checks: list[tuple[str, Callable[[], Diagnosis]]] = [
        ("python", _python),
        ("packages", _packages),
        ("torch", _torch),
        ("processor", partial(_processor, device)),
        ("compiled loops", _compiled),
        ("microphones", _microphones),
        ("ffmpeg", _ffmpeg),
        *((name, partial(_optional, name, adds, extra)) for name, adds, extra in OPTIONAL),
        ("model", partial(_model, model)),
        ("store", partial(_store, store, model)),
    ]
    for name, check in checks:
        try:
            yield check()
        except StreamerError as error:
            yield Diagnosis(name, _failed(name), str(error))
        except Exception as error:  # a damaged library may raise anything
            said = f"{type(error).__name__}: {error}"
            yield Diagnosis(name, _failed(name), said, f"install it again: pip install {DISTRIBUTION}")


def _failed(name: str) -> State:
    return "broken" if name in NEEDED else "missing"


def _python() -> Diagnosis:
    said = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    low, high = (".".join(map(str, version)) for version in PYTHONS)
    if not PYTHONS[0] <= sys.version_info[:2] <= PYTHONS[1]:
        return Diagnosis("python", "broken", said, f"use Python {low} to {high}: that is what is tested")
    return Diagnosis("python", "ok", said)


def _packages() -> Diagnosis:
    """Every required distribution, with its version."""
    from streamer import __version__

    found, absent = [f"streamer {__version__}"], []
    for line in metadata.requires(DISTRIBUTION) or []:
        if "extra ==" in line:
            continue
        name = line.split(";")[0].strip()
        for sign in "<>=!~[ ":
            name = name.partition(sign)[0]
        try:
            found.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            absent.append(name)
    if absent:
        return Diagnosis("packages", "broken", f"without {', '.join(absent)}", f"pip install {' '.join(absent)}")
    return Diagnosis("packages", "ok", ", ".join(found))


def _torch() -> Diagnosis:
    import torch

    built = f"for CUDA {torch.version.cuda}" if torch.version.cuda else "without CUDA"
    said = f"{torch.__version__}, built {built}, {torch.get_num_threads()} threads"
    if torch.version.cuda is None and (shutil.which("nvidia-smi") or Path("/dev/nvidia0").exists()):
        return Diagnosis(
            "torch",
            "missing",
            f"{said}; there is an NVIDIA GPU",
            "install a build for it: https://pytorch.org/get-started",
        )
    return Diagnosis("torch", "ok", said)


def _processor(device: str) -> Diagnosis:
    import torch

    from streamer.models.model import resolve_device

    chosen = resolve_device(device)
    cores = f"{os.cpu_count()} cores"
    if chosen.type != "cuda":
        return Diagnosis("processor", "ok", f"{chosen}, {cores}")
    facts = torch.cuda.get_device_properties(chosen)
    return Diagnosis("processor", "ok", f"{chosen}: {facts.name}, {facts.total_memory / 2**30:.0f} GiB; {cores}")


def _compiled() -> Diagnosis:
    from streamer.engine import pieces

    loops = [loop for loop in vars(pieces).values() if hasattr(loop, "py_func")]
    kept = next(iter(loops))._cache.cache_path
    if kept is None:
        return Diagnosis(
            "compiled loops", "missing", "not kept: compiled at each start", "set NUMBA_CACHE_DIR to a folder for them"
        )
    return Diagnosis("compiled loops", "ok", f"kept in {kept}")


def _microphones() -> Diagnosis:
    from streamer.audio.sources import list_devices

    try:
        there = list_devices()
    except MissingDependency as error:
        return Diagnosis("microphones", "missing", str(error))
    if not there:
        return Diagnosis(
            "microphones", "missing", "none", "connect one, and see that this user may use it (on Linux: group audio)"
        )
    return Diagnosis("microphones", "ok", ", ".join(f"{one.index} {one.name}{' *' * one.default}" for one in there))


def _ffmpeg() -> Diagnosis:
    program = f"; the program ffmpeg is {shutil.which('ffmpeg') or 'not installed, and not needed'}"
    try:
        av = import_module("av")
    except ImportError:
        return Diagnosis(
            "ffmpeg",
            "missing",
            f"no PyAV: m4a, mp4, webm and addresses cannot be heard{program}",
            f"pip install '{DISTRIBUTION}[media]'",
        )
    return Diagnosis("ffmpeg", "ok", f"PyAV {av.__version__}{program}")


def _optional(name: str, adds: str, extra: str) -> Diagnosis:
    try:
        return Diagnosis(name, "ok", f"{getattr(import_module(name), '__version__', 'installed')}: {adds}")
    except ImportError:
        return Diagnosis(name, "missing", f"not installed: {adds}", f"pip install '{DISTRIBUTION}[{extra}]'")


def _model(source: str) -> Diagnosis:
    from streamer.models.model import Model

    model = Model.from_pretrained(source)
    said = (
        f"{model.card.name} ({model.architecture.family}), {model.dimension} numbers, fingerprint {model.fingerprint}"
    )
    return Diagnosis("model", "ok", said)


def _store(store: str | None, model: str) -> Diagnosis:
    from streamer.speakers import elsewhere, glance

    path = glance.path_of(store)
    if path is not None and not path.exists() and glance.is_well(path):
        return Diagnosis(
            "store", "ok", f"{path}: not there yet, made by the first enrolment", "streamer speakers enroll NAME FILE"
        )
    from streamer.speakers.names import few
    from streamer.speakers.store import SpeakerStore

    with SpeakerStore(store) as opened:
        models = opened.fingerprints()
        said = (
            f"{opened.where}: {len(models)} speakers, {len({one for each in models.values() for one in each})} models"
        )
        if opened.erasing():
            return Diagnosis(
                "store", "missing", f"{said}; what was deleted is still in its log", "streamer speakers erase"
            )
        fingerprint = _fingerprint(model)
        if fingerprint is not None and (others := opened.only_under_others(fingerprint)):
            said += f"; unknown to this model: {few(others)}"
            return Diagnosis("store", "missing", said, elsewhere.way_out(others))
    return Diagnosis("store", "ok", said)


def _fingerprint(source: str) -> str | None:
    """A model's fingerprint; None for one that cannot be loaded, which its own check reports."""
    from streamer.models.model import Model
    from streamer.models.places import fingerprint_of

    try:
        return fingerprint_of(source) or Model.from_pretrained(source).fingerprint
    except StreamerError:
        return None
