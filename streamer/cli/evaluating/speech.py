"""The command `streamer evaluate speech`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from streamer.cli.beforehand import check_files, check_model
from streamer.cli.common import DeviceOption, ModelOption, load_model
from streamer.cli.waiting import import_torch
from streamer.evaluation.markdown import table


def speech(
    folders: Annotated[list[Path], typer.Argument(help="Folders of recordings, a reference.rttm in each.")],
    detector: Annotated[list[str] | None, typer.Option(help="head or silero; default: both, if it has a head.")] = None,
    onset: Annotated[
        list[float] | None, typer.Option(help="Thresholds to try; default: the tracker's. Speech ends 0.15 below.")
    ] = None,
    model: ModelOption = "default",
    device: DeviceOption = "cpu",
) -> None:
    """Measure how well each detector separates speech from other sound in real recordings, and its cost."""
    check_files(**{f"folder_{number}": folder for number, folder in enumerate(folders, 1)})
    check_model(model, device)
    import_torch()
    from streamer.engine.incremental import IncrementalModel
    from streamer.evaluation.detection import detect, listen
    from streamer.evaluation.recordings import read_recordings
    from streamer.speakers.backend import Backend

    loaded = load_model(model, device)
    names = detector or (["head", "silero"] if loaded.architecture.speech_head else ["silero"])
    rows = []
    for folder in folders:
        recordings = read_recordings(folder)
        for name in names:
            heard, cost = listen(IncrementalModel(loaded, speech=name), recordings)  # type: ignore[arg-type]
            settings = Backend.of(loaded).settings
            tried = [replace(settings, speech_onset=at, speech_offset=max(at - 0.15, 0.02)) for at in onset or ()]
            for one in tried or [settings]:
                found = detect(heard, one)
                shares = (f"{100 * value:.1f}" for value in (found.missed, found.false_alarm))
                rows.append(
                    [f"{folder.name}, {name}", f"{one.speech_onset}", f"{found.auc:.3f}", *shares, f"{1000 * cost:.1f}"]
                )
    head = ["", "from", "AUC", "missed %", "false alarm %", "ms a second"]
    typer.echo("\n".join(table(head, rows)))
