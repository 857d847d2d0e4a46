from pathlib import Path
from types import ModuleType

import pytest
import yaml

from reports.exports.model_card import render
from reports.gate.judge import judge
from reports.gate.policy import preset
from reports.language.words import shown


@pytest.mark.parametrize("name", ["\N{GRINNING FACE}@0.5", "\ufffe\x85\u2028\ufeff", "é — ∞"])
def test_names_beyond_ascii_come_out_of_the_model_cards_yaml_as_they_went_in(
    tmp_path: Path, runs: ModuleType, name: str
) -> None:
    results = runs.made(tmp_path, [runs.clean(name)])
    text = render(results, judge(results, preset("standard")))
    head = yaml.safe_load(text.split("---\n")[1])
    assert head["model-index"][0]["name"].encode() == shown(name).encode()
