"""What a lower precision of the engine costs in accuracy: the equal error rate of each, on the same trials.

    python benchmarks/precision.py MANIFEST.csv

The windows go through the engine itself, many streams at once, one window a stream.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch import Tensor

from streamer import IncrementalModel, Model, Step
from streamer.engine.layers import Precision
from streamer.evaluation.manifest import by_group, by_speaker, read_manifest
from streamer.evaluation.markdown import row, table
from streamer.evaluation.trials import windows
from streamer.evaluation.verification import Embed, embed_items, evaluate

PRECISIONS: tuple[Precision, ...] = ("float32", "bfloat16", "int8")


def embedder(engine: IncrementalModel, duration_s: float) -> Embed:
    """The engine as a function of waveforms (batch, samples), each as long as a window."""

    def embed(waves: Tensor) -> Tensor:
        streams = [engine.open((duration_s,), duration_s) for _ in waves]
        blocks = [block for stream, wave in zip(streams, waves, strict=True) for block in stream.cut(wave.numpy())]
        embeddings = [
            torch.from_numpy(outcome.windows[0].embedding)
            for outcome in engine.step(blocks)
            if isinstance(outcome, Step)
        ]
        return torch.stack(embeddings)

    return embed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--split", default="dev")
    parser.add_argument("--model", default="sincnet")
    parser.add_argument("--duration", type=float, default=3.0)
    options = parser.parse_args()
    sets = {
        name: windows(by_speaker(options.manifest.parent, group), options.duration)
        for name, group in by_group(read_manifest(options.manifest, options.split)).items()
    }
    model = Model.from_pretrained(options.model)
    print("\n".join(table(["precision", *(f"{name}: EER, %" for name in sets)])))
    for precision in PRECISIONS:
        engine = IncrementalModel(model, precision=precision, speech="off")
        rates = []
        for items, trials in sets.values():
            embeddings = embed_items(items, embedder(engine, options.duration), batch=16)
            rates.append(evaluate(embeddings, trials, rounds=0).metrics["eer"].value)
        print(row([precision, *(f"{100 * rate:.2f}" for rate in rates)]), flush=True)


if __name__ == "__main__":
    main()
