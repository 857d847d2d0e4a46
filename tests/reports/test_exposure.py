"""What the report reads from the evidence of a membership attack, held against plain counting."""

from types import ModuleType

import numpy as np
import pytest
from gate_lab_run import Make, row
from scipy import stats
from sklearn.metrics import precision_score, roc_auc_score, roc_curve

from attacks import intervals
from reports.data.exposure import by_class, evidence, null_band, order, precision, roc, stability
from reports.data.results import Results
from reports.draw.charts import charts, membership_leakage
from reports.language.words import attack, conditions


def seen(seed: int = 0, members: int = 120, others: int = 80, leak: float = 1.0) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    member = np.arange(members + others) < members
    return {
        "score": (random.normal(size=len(member)) + leak * member).astype(np.float32),
        "member": member,
        "label": random.integers(0, 3, len(member)),
        "index": np.concatenate((random.permutation(members), random.permutation(others))),
    }


def test_the_curve_is_that_of_scikit_learn() -> None:
    one = seen()
    false, true = roc(one)
    their_false, their_true, _ = roc_curve(one["member"], one["score"], drop_intermediate=False)
    for at, rate in zip(false, true, strict=True):
        assert their_true[np.isclose(their_false, at)].min() == pytest.approx(rate)  # before the next accused


def test_the_null_band_holds_guessing_attackers_at_the_rate_promised() -> None:
    ranks = np.array([1, 4, 20, 60])
    low, high = null_band(120, 80, ranks)
    rates = np.array([roc(seen(seed, leak=0.0))[1][ranks - 1] for seed in range(1000)])
    inside = ((rates >= low) & (rates <= high)).mean(axis=0)
    assert (inside >= 0.93).all()
    assert roc(seen(leak=3.0))[1][3] > high[1]


@pytest.mark.parametrize(("members", "others"), [(1, 1), (5, 7), (100, 1697), (4500, 300)])
def test_the_null_band_is_scipys_negative_hypergeometric(members: int, others: int) -> None:
    ranks = np.unique(np.geomspace(1, others, 12).round().astype(int))
    theirs = [
        stats.nhypergeom(members + others, members, int(k)).ppf([0.025, 0.975]) / members for k in ranks
    ]
    assert null_band(members, others, ranks) == pytest.approx(np.array(theirs).T)


def test_stability_finds_the_same_members_and_not_others() -> None:
    one, other = seen(0), seen(1)
    rank, overlap, top = stability(one, {**one, "score": 2 * one["score"] + 1})
    assert (rank, overlap, top) == (pytest.approx(1.0), 1.0, 2)
    tied = {**other, "score": np.round(other["score"]), "index": one["index"]}
    theirs = stats.spearmanr(one["score"][one["member"]], tied["score"][one["member"]]).statistic
    assert stability(one, tied)[0] == pytest.approx(theirs)
    assert abs(stability(one, {**other, "index": one["index"]})[0]) < 0.3
    assert stability(one, {**one, "member": ~one["member"]}) is None
    assert stability(one, {**one, "score": np.zeros(200, np.float32)}) is None


def test_the_most_exposed_come_first_by_their_index() -> None:
    one = seen()
    first = order(one)[0]
    place = int(np.flatnonzero(one["member"] & (one["index"] == first))[0])
    assert one["score"][place] == one["score"][one["member"]].max()


def test_the_auc_of_a_class_is_among_its_own_examples() -> None:
    one = seen()
    found = by_class(one, 4)
    for label in range(3):
        mine = one["label"] == label
        assert found[label] == pytest.approx(roc_auc_score(one["member"][mine], one["score"][mine]))
    assert np.isnan(found[3])


@pytest.mark.parametrize("prior", [0.01, 0.1, 0.5])
def test_precision_is_what_counting_gives(prior: float) -> None:
    random = np.random.default_rng(3)
    member = random.random(400_000) < prior
    accused = np.where(member, random.random(400_000) < 0.3, random.random(400_000) < 0.05)
    assert precision(0.3, 0.05, prior) == pytest.approx(precision_score(member, accused), abs=0.02)
    assert np.isnan(precision(0.0, 0.0, prior))


def test_evidence_is_of_one_attack(results: Results) -> None:
    found = evidence(results, {"attack": "loss"})
    assert set(found) == set(results.names())
    assert all(
        {"score", "member", "label", "index"} <= set(one) for s in found.values() for one in s.values()
    )


def test_the_table_of_the_exposed_has_every_variant(results: Results, synthetic: ModuleType) -> None:
    chart = charts()["membership_exposed"].draw(results)
    assert chart is not None
    rows = {row[0].text: row for row in chart.table.rows}
    assert set(rows) == set(results.names())
    assert rows["dense"][2].value == pytest.approx(1.0)
    assert rows["dense"][3].value == 1.0
    assert len({len(row) for row in chart.table.rows} | {len(chart.table.columns)}) == 1


def test_an_attacker_is_said_once() -> None:
    at = {"attack": "loss@pair", "attacker": "pair", "fpr": 0.01}
    assert conditions(at).count("dense model too") == 1
    assert "attacker" not in conditions(at)
    assert attack("mine@somebody") == "mine, somebody"


def test_low_false_positive_rates_are_drawn_each_or_it_is_said_what_they_need(
    results: Results, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert membership_leakage.FEWEST == intervals.MIN_FALSE_POSITIVES
    drawn = membership_leakage.draw(results)
    assert drawn is not None
    assert any("True positives at 1% false positives" in panel.title for panel in drawn.panels)
    assert "At 0.1% false positives nothing is known: that needs 5,000 non-members" in drawn.caption
    monkeypatch.setattr(membership_leakage, "FEWEST", 0.1)
    assert "the plan does not ask for it (fpr), though 200 non-members would do" in (
        membership_leakage.draw(results).caption
    )
    rows = [
        row(
            "membership_tpr",
            (0.02 + fpr, fpr, 0.05 + fpr),
            variant,
            0,
            probe="membership",
            attack="loss",
            fpr=fpr,
        )
        for variant in ("dense", "m@0.5", "m@0.9")
        for fpr in (0.1, 0.01, 0.001)
    ]
    rows += [
        row("membership_auc", (0.6, 0.5, 0.7), variant, 0, probe="membership", attack="loss")
        for variant in ("dense", "m@0.5", "m@0.9")
    ]
    both = membership_leakage.draw(make(rows))
    titles = [panel.title.partition(",")[0] for panel in both.panels]
    assert titles[1:] == ["True positives at 1% false positives", "True positives at 0.1% false positives"]
    assert "nothing is known" not in both.caption
