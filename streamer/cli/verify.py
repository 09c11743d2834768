"""`streamer verify`: are two recordings of the same speaker?"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from streamer.cli.common import DeviceOption, LateProgress, ModelOption, RevisionOption, TokenOption, load_model
from streamer.errors import ConfigurationError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

app = typer.Typer()

EXIT_DIFFERENT = 1


@app.command()
def verify(
    first: Annotated[Path, typer.Argument(help="An audio file.", show_default=False)],
    second: Annotated[Path, typer.Argument(help="Another one.", show_default=False)],
    threshold: Annotated[
        float | None,
        typer.Option(help="Cosine similarity from which two are the same. Default: the model's own.", min=-1, max=1),
    ] = None,
    model: ModelOption = "default",
    device: DeviceOption = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object.")] = False,
    token: TokenOption = None,
    revision: RevisionOption = None,
) -> None:
    """Say whether two audio files are of the same speaker.

    Exit code 0 for the same, 1 for different ones, 2 for an error.
    """
    import numpy as np

    from streamer.inference import Inference

    if threshold is not None and not math.isfinite(threshold):
        raise ConfigurationError(f"--threshold {threshold} is not a number from -1 to 1.")
    loaded = load_model(model, device, token, revision)
    inference = Inference(loaded, window="whole")
    vectors = []
    with LateProgress("Embedding", total=2) as progress:
        for index, path in enumerate((first, second)):
            vectors.append(np.asarray(inference(path))[0])
            progress.update(index + 1)
    similarity = cosine(*vectors)
    limit = loaded.card.threshold if threshold is None else threshold
    same = None if limit is None else similarity >= limit
    if as_json:
        values = {"similarity": similarity, "distance": 1 - similarity, "threshold": limit, "same": same}
        typer.echo(json.dumps(values | {"model": loaded.card.name, "fingerprint": loaded.fingerprint}))
    else:
        typer.echo(f"distance    {1 - similarity:.4f}\nsimilarity  {similarity:.4f}")
    if limit is None:
        raise ConfigurationError(
            f"the model {loaded.card.name!r} records no decision threshold; give the cosine similarity from which two "
            f"are the same with --threshold, measured on speech like yours."
        )
    if not as_json:
        sign = ">=" if same else "<"
        typer.echo(f"{'same' if same else 'different'} speaker{'' if same else 's'} (similarity {sign} {limit:.4f})")
    if not same:
        raise typer.Exit(EXIT_DIFFERENT)


def cosine(first: NDArray[np.float32], second: NDArray[np.float32]) -> float:
    """Cosine similarity, in -1 to 1; 0 where a vector is zero."""
    import numpy as np

    norm = float(np.linalg.norm(first) * np.linalg.norm(second))
    return float(np.clip(np.dot(first, second) / norm, -1, 1)) if norm > 0 else 0.0
