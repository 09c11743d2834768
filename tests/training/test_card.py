"""The model card: its tables are replaced by their heads, and what it says of the weights is what they say."""

from __future__ import annotations

from pathlib import Path

import pytest

from streamer.errors import ConfigurationError
from streamer.evaluation.markdown import table
from streamer.models.model import Model
from streamer.training.card import fill, score_statistics

CARD = Path(__file__).parents[2] / "docs" / "model-card.md"
TEXT = """Before.

| a | b |
|---|---|
| 1 | 2 |
| 3 | 4 |

Between.

| a | c |
|---|---|
| 5 | 6 |"""


def test_a_table_is_replaced_by_the_one_of_its_head():
    filled = fill(TEXT, [table(["a", "b"], [["7", r"\1"]]), table(["a", "c"], [["8", "9"], ["10", "11"]])])

    assert filled == TEXT.replace("| 1 | 2 |\n| 3 | 4 |", r"| 7 | \1 |").replace("| 5 | 6 |", "| 8 | 9 |\n| 10 | 11 |")


@pytest.mark.parametrize(("text", "number"), [("", 0), (f"{TEXT}\n\n{TEXT}", 2)])
def test_a_card_without_the_table_or_with_several_is_refused(text, number):
    with pytest.raises(ConfigurationError, match=rf"has {number} tables .* \| a \| b \|"):
        fill(text, [table(["a", "b"], [])])


def test_the_card_says_of_the_weights_what_they_record():
    card = Model.from_pretrained("sincnet").card
    text = CARD.read_text(encoding="utf-8")

    assert fill(text, [score_statistics(card)]) == text
    assert f"| Threshold | {card.threshold:.3f}, " in text
    assert f"| Trained | {card.details['trained']['steps']:,} steps, " in text
