"""Regions against SciPy's tests, and the rule that makes a verdict of p-values."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from reports.claims.claim import Claim, Facet, Region, equal, fall, not_higher, not_lower, rise
from reports.claims.pool import WHOLE, Pooled
from reports.claims.settle import settling
from reports.claims.verdict import Weighed, decide, weigh
from reports.stats.student import Estimate

SAMPLE = np.array([0.004, -0.006, 0.009, 0.002, 0.001])
EFFECT = Estimate(float(SAMPLE.mean()), float(stats.sem(SAMPLE)), 4)


def _one(margin: float, alternative: str) -> float:
    return float(stats.ttest_1samp(SAMPLE, margin, alternative=alternative).pvalue)


def test_equivalence_is_two_one_sided_tests() -> None:
    assert equal(0.02).inside(EFFECT) == pytest.approx(max(_one(-0.02, "greater"), _one(0.02, "less")))
    assert equal(0.02).outside(EFFECT) == pytest.approx(
        min(1.0, 2 * min(_one(-0.02, "less"), _one(0.02, "greater")))
    )


@pytest.mark.parametrize(
    ("region", "holds", "fails"),
    [
        (rise(0.01), (0.01, "greater"), (0.01, "less")),
        (fall(0.01), (-0.01, "less"), (-0.01, "greater")),
        (not_lower(0.01), (-0.01, "greater"), (-0.01, "less")),
        (not_higher(0.01), (0.01, "less"), (0.01, "greater")),
    ],
)
def test_one_sided_regions(region: Region, holds: tuple[float, str], fails: tuple[float, str]) -> None:
    assert region.inside(EFFECT) == pytest.approx(_one(*holds))
    assert region.outside(EFFECT) == pytest.approx(_one(*fails))


def test_one_seed_shows_nothing() -> None:
    alone = Estimate(0.5, 1.0, 0)
    for region in (rise(0.01), fall(0.01), equal(0.01)):
        assert region.inside(alone) == 1
        assert region.outside(alone) == 1


FACET = Facet("accuracy", rise(0.02), "share", lambda _: [], "nothing")


def _setting(holds: float, fails: float, factor: str = "sparsity", level: str = "50%") -> Pooled:
    estimate = Estimate(0.0, 0.01, 4)
    return Pooled(FACET, factor, level, (), (("s", estimate),), None, holds, fails)


def test_what_is_shown_on_the_whole_is_a_verdict() -> None:
    assert decide([weigh([_setting(1e-6, 1.0, WHOLE, WHOLE)])])[0].verdict == "supported"
    assert decide([weigh([_setting(1.0, 1e-6, WHOLE, WHOLE)])])[0].verdict == "contradicted"
    assert decide([weigh([_setting(0.03, 0.97, WHOLE, WHOLE)])])[0].verdict == "inconclusive"


def test_one_setting_each_way_is_mixed_whatever_the_mean() -> None:
    settings = [_setting(1e-6, 1.0, WHOLE, WHOLE), _setting(1e-6, 1.0), _setting(1.0, 1e-6, level="90%")]
    found = decide([weigh(settings)])[0]
    assert found.verdict == "mixed"
    assert [one.level for one in found.failing] == ["90%"]


def test_a_setting_on_the_other_side_of_the_limit_holds_a_verdict_back() -> None:
    settings = [_setting(1e-6, 1.0, WHOLE, WHOLE), _setting(0.6, 0.4)]
    found = decide([weigh(settings)])[0]
    assert found.verdict == "inconclusive"
    assert [one.level for one in found.against] == ["50%"]


def test_the_family_makes_it_harder_and_what_is_not_tested_counts_in_it() -> None:
    alone = weigh([_setting(0.01, 0.99, WHOLE, WHOLE)])
    assert decide([alone])[0].verdict == "supported"
    family = decide([alone, *[None] * 13])
    assert family[0].verdict == "inconclusive"
    assert {one.verdict for one in family[1:]} == {"not tested"}


def test_every_figure_of_a_claim_must_hold() -> None:
    other = replace(FACET, name="robustness")
    whole = _setting(1e-6, 1.0, WHOLE, WHOLE)
    unsure = replace(_setting(0.4, 0.6, WHOLE, WHOLE), facet=other)
    failing = replace(_setting(1.0, 1e-6, WHOLE, WHOLE), facet=other)
    assert decide([weigh([whole, unsure])])[0].verdict == "inconclusive"
    assert decide([weigh([whole, failing])])[0].verdict == "mixed"


def test_nothing_weighs_nothing() -> None:
    assert weigh([]) == Weighed(1.0, 1.0, 1.0, ())


def test_what_would_settle_it_grows_as_the_limit_comes_near() -> None:
    def told(value: float) -> str:
        whole = replace(_setting(0.5, 0.5, WHOLE, WHOLE), subjects=(("s", Estimate(value, 0.01, 4)),))
        cell = type("C", (), {"each": {0: FakeDifference(), 1: FakeDifference(), 2: FakeDifference()}})
        return settling(replace(whole, cells=(cell,)))  # type: ignore[arg-type]

    assert "about" in told(0.04)
    assert "at the limit itself" in told(0.02)
    near, far = (int(told(value).split("about ")[1].split(" ")[0]) for value in (0.03, 0.06))
    assert near > far


class FakeDifference:
    parts: tuple[np.ndarray, ...] = (np.zeros(200),)


def test_claims_say_what_they_need(known: object) -> None:
    from reports.claims import claims

    found = claims()
    assert [claim.id for claim in found] == [f"C{i}" for i in range(1, 15)]
    for claim in found:
        assert isinstance(claim, Claim)
        assert claim.sections.startswith("§")
        assert all((claim.says, claim.hypothesis, claim.test, claim.smallest, claim.facets))
        assert any(facet.required for facet in claim.facets)
        assert all(facet.needs and facet.region.limits for facet in claim.facets)
