import math
from pathlib import Path

import pytest

from reports.data.health import TITLES, flags, raised, sentence, title
from reports.data.ledger import Ledger, MeasurementRow, UnitRow, VariantRow
from reports.data.results import Results, read


def row(
    variant: str, flag: str, value: float | None, limit: float, norm: str = "linf", seed: int = 0
) -> MeasurementRow:
    at = {"flag": flag, "norm": norm, "limit": limit}
    status = "ok" if value is not None else "not_applicable"
    return MeasurementRow(
        variant, seed, "evasion", "attack_health", at, value, value, value, 100, status, f"{flag} said so"
    )


@pytest.fixture
def run(tmp_path: Path) -> Results:
    rows = {
        ("dense", 0): [row("dense", "zero_gradients", 0.0, 0.05), row("dense", "noisy_loss", 0.3, 0.3)],
        ("m@0.9", 0): [
            row("m@0.9", "zero_gradients", 0.6, 0.05),
            row("m@0.9", "randomised", 1.0, 0.0),
            row("m@0.9", "zero_gradients", None, 0.05, "l2"),
        ],
        ("m@0.9", 1): [row("m@0.9", "zero_gradients", 0.06, 0.05, seed=1)],
        ("m@0.5", 0): [
            MeasurementRow("m@0.5", 0, "evasion", "attack_health", {}, status="failed", note="crashed")
        ],
    }
    units = [UnitRow(f"{v}-{s}", "evasion", v) for v, s in rows]
    with Ledger.open(tmp_path / "run.sqlite", {"plan_digest": "d"}, units) as ledger:
        for (name, seed), mine in rows.items():
            made = VariantRow(name, seed, name.split("@")[0], 0.0, 0.0)
            ledger.append(f"{name}-{seed}", seconds=0, finished="", variant=made, measurements=mine)
    return read(tmp_path)


def test_a_flag_is_raised_above_its_limit_and_only_there(run: Results) -> None:
    found = raised(run)
    assert list(found) == [("m@0.9", "linf")]
    assert {(f.name, f.seed, f.value, f.limit) for f in found["m@0.9", "linf"]} == {
        ("randomised", 0, 1.0, 0.0),
        ("zero_gradients", 0, 0.6, 0.05),
        ("zero_gradients", 1, 0.06, 0.05),
    }


def test_what_was_not_checked_is_not_raised(run: Results) -> None:
    (unchecked,) = [flag for flag in flags(run) if flag.norm == "l2"]
    assert math.isnan(unchecked.value)
    assert not unchecked.raised
    assert unchecked.status == "not_applicable"


def test_the_sentence_names_each_flag_once(run: Results) -> None:
    text = sentence(raised(run)["m@0.9", "linf"])
    assert "2 signs" in text
    assert text.count(TITLES["zero_gradients"]) == 1
    assert TITLES["randomised"] in text


def test_a_foreign_flag_has_a_title() -> None:
    assert title("odd_thing") == "odd thing"
