"""The tables of a model card: a table is found by its header, and replaced in place."""

from __future__ import annotations

import re
from collections.abc import Sequence

from streamer.errors import ConfigurationError
from streamer.evaluation.markdown import Table, table
from streamer.models.model import ModelCard


def fill(text: str, tables: Sequence[Table]) -> str:
    """Replace each table in a text by the given table with the same header.

    Raises ConfigurationError if a header occurs not once, but never or several times.
    """
    for lines in tables:
        found = list(re.finditer(rf"^{re.escape(lines[0])}(\n\|.*)*$", text, re.MULTILINE))
        if len(found) != 1:
            raise ConfigurationError(f"the card has {len(found)} tables with this head, not one: {lines[0]}")
        text = text[: found[0].start()] + "\n".join(lines) + text[found[0].end() :]
    return text


def score_statistics(card: ModelCard) -> Table:
    """The meaning of cosines by window length, as recorded in the weights."""
    head = [
        "window",
        "same speaker, mean ± deviation",
        "different speakers",
        "EER, %",
        "threshold",
        "log-likelihood ratio",
        "Cllr, bits",
    ]
    rows = [
        [
            f"{float(duration):.0f} s",
            f"{found['same_mean']:.3f} ± {found['same_std']:.3f}",
            f"{found['different_mean']:.3f} ± {found['different_std']:.3f}",
            f"{100 * found['eer']:.1f}",
            f"{found['threshold']:.3f}",
            f"{found['slope']:.2f} x cosine {found['offset']:+.2f}",
            f"{found['cllr']:.3f}",
        ]
        for duration, found in card.details.get("scores", {}).items()
    ]
    return table(head, rows)
