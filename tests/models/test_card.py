"""The model card of the default weights is one of Hugging Face's, and says what the documentation says."""

from __future__ import annotations

import re
from pathlib import Path

from huggingface_hub import ModelCard

from streamer.models.model import Model

ROOT = Path(__file__).parents[2]
CARD = ROOT / "streamer" / "models" / "weights" / "README.md"


def test_the_card_is_read_by_the_hub_and_is_of_the_default_model():
    card, model = ModelCard.load(CARD), Model.from_pretrained("default")
    assert card.data.model_name == model.card.name
    assert card.data.license == model.card.licence.lower()
    assert f"cosine {model.card.threshold}" in card.text
    assert f"{model.dimension} numbers" in card.text


def test_its_figures_are_those_of_the_documentation():
    results = {result.dataset_type: result.metric_value for result in ModelCard.load(CARD).data.eval_results}
    page = (ROOT / "docs" / "models.md").read_text(encoding="utf-8")
    verified = re.search(r"^\| EER at 3 s, %: .*? \| ([\d.]+) / ([\d.]+) / ([\d.]+) \|", page, re.M)
    diarised = re.search(r"^\| DER on real recordings, .*? \| ([\d.]+) / ", page, re.M)
    assert verified and diarised
    names = ("librispeech", "speechocean762-adults", "speechocean762-children")
    assert results == dict(zip(names, map(float, verified.groups()), strict=True)) | {"ami": float(diarised[1])}
