"""The model card's tables: each is known by its head, and replaced where it stands."""

from __future__ import annotations

import re
from collections.abc import Sequence

from streamer.errors import ConfigurationError
from streamer.evaluation.markdown import Table, table
from streamer.models.model import ModelCard


def fill(text: str, tables: Sequence[Table]) -> str:
    """A text with each of these tables in the place of the one that has its head.

    Raises ConfigurationError where it has none, or several.
    """
    for lines in tables:
        found = list(re.finditer(rf"^{re.escape(lines[0])}(\n\|.*)*$", text, re.MULTILINE))
        if len(found) != 1:
            raise ConfigurationError(f"the card has {len(found)} tables with this head, not one: {lines[0]}")
        text = text[: found[0].start()] + "\n".join(lines) + text[found[0].end() :]
    return text


def score_statistics(card: ModelCard) -> Table:
    """What cosines mean by the windows' duration, as the weights themselves record it."""
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
