"""The examples of other fields than images run from end to end, offline."""

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from audit import runner
from audit.plan import load
from audit.preflight import examine, preflight
from reports.data.results import read

EXAMPLES = Path(__file__).parents[2] / "examples"
FIELDS = {"medicine": 0.9, "finance": 0.85, "speech": 0.85, "language": 0.85}
"""Each with an accuracy that its dense model exceeds."""


@pytest.mark.parametrize("field", FIELDS)
def test_each_field_passes_preflight_without_a_word(field: str) -> None:
    found = examine(preflight(load(EXAMPLES / field / "plan.toml")))
    assert [str(finding) for finding in found.findings] == []
    assert "standard deviations of each feature" in dict(found.figures)["ε"]


def test_every_candidate_of_the_language_example_is_a_review_of_the_same_meaning() -> None:
    file = EXAMPLES / "language" / "reviews.py"
    spec = importlib.util.spec_from_file_location("reviews_of_the_example", file)
    assert spec is not None
    assert spec.loader is not None
    reviews = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(reviews)
    data = reviews.load()
    x, y = (torch.from_numpy(data[name][:60]) for name in ("x_test", "y_test"))
    assert torch.equal(reviews.write(reviews.read(x)), x), "a review is read as it was written"
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = reviews.build()
    found = {eps: reviews.substitute(model, x, y, eps) for eps in (0.0, 2.0)}
    assert torch.equal(found[0.0], x)
    moved = found[2.0]
    assert torch.equal(reviews.write(reviews.read(moved)), moved)
    assert not torch.equal(moved, x)
    meaning = np.array(reviews.MEANING)
    assert (meaning[reviews.read(moved)] == meaning[reviews.read(x)]).all()
    scale = torch.from_numpy(data["x_train"].std(axis=(0, 2)))[:, None]
    assert float(((moved - x).abs() / scale).max()) <= 2.0 + 1e-6
    with torch.no_grad():
        losses = [torch.nn.functional.cross_entropy(model(one), y, reduction="none") for one in (x, moved)]
    assert (losses[1] >= losses[0]).all()
    assert float(losses[1].mean()) > float(losses[0].mean())


@pytest.mark.slow
@pytest.mark.parametrize("field", FIELDS)
def test_each_field_runs(field: str, execute: Callable[..., runner.Outcome], tmp_path: Path) -> None:
    assert execute(EXAMPLES / field / "plan.toml", tmp_path / "run").failed == 0
    results = read(tmp_path / "run")
    accuracy = results.select("accuracy", {"split": "test"}, variant="dense")["value"].item()
    assert accuracy > FIELDS[field]
    broken: Any = results.select("robust_accuracy", {"attack": "worst_case"}, variant="dense")
    assert broken["value"].is_monotonic_decreasing or broken["value"].nunique() == 1
    assert results.select("membership_auc", variant="dense")["value"].notna().all()
    if field == "language":
        words = results.select("robust_accuracy", {"attack": "adaptive"}, variant="dense")["value"]
        assert len(words) == len(broken) == 3
        assert words.iloc[-1] < accuracy, "words that give way to others of their meaning are misread"
        assert (words.to_numpy() >= broken["value"].to_numpy()).all()
        (images,) = results.select("corruption_accuracy", variant="dense", measured=False).to_dict("records")
        assert images["status"] == "not_applicable"
        assert "image" in images["note"]
    if field == "finance":
        assert all("cannot change" in note for note in broken["note"]), json.dumps(list(broken["note"]))
