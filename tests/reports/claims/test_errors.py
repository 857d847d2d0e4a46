"""Verdicts of studies whose truth is known, a few draws of each; ``benchmarks/claim_errors.py`` has all."""

import importlib
from types import ModuleType

import pytest
from scipy import stats

from reports.claims import claims, verdict
from reports.claims.claim import Claim

CLAIMS = claims()
TRUTHS = ("holds", "fails", "at the limit", "zero", "mixed")


@pytest.fixture(scope="module")
def errors(known: ModuleType) -> ModuleType:
    return importlib.import_module("claim_errors")


def _wrong(known: ModuleType, claim: Claim, truth: str, design: object, draws: int) -> tuple[int, int]:
    counts, right = known.rates(claim, truth, design, draws), known.true(claim, truth)
    wrong = sum(n for v, n in counts.items() if v not in right | {"inconclusive"})
    return wrong, sum(n for v, n in counts.items() if v in right)


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.id)
def test_a_few_draws_of_every_truth(known: ModuleType, claim: Claim) -> None:
    draws = 12
    for truth in TRUTHS:
        wrong, _ = _wrong(known, claim, truth, known.Design(seeds=5), draws)
        assert stats.binom.sf(wrong - 1, draws, 0.05) > 1e-4, truth


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.id)
def test_what_is_measured_well_is_decided(known: ModuleType, claim: Claim) -> None:
    quiet = known.Design(seeds=5, dense=0.1, own=0.1, example=1.0)
    for truth in ("holds", "fails", "zero", "mixed"):
        assert _wrong(known, claim, truth, quiet, 4) == (0, 4), truth


def test_several_subjects_that_share_their_examples(known: ModuleType) -> None:
    wrong, _ = _wrong(known, CLAIMS[0], "at the limit", known.Design(subjects=6), 60)
    assert stats.binom.sf(wrong - 1, 60, 0.05) > 1e-3


def test_the_check_can_fail(known: ModuleType, errors: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rule that needs no more than the estimate's side is found out."""
    monkeypatch.setattr(verdict, "TAIL", 0.5)
    monkeypatch.setattr(verdict, "LEVEL", -1.0)
    row = errors.measure(CLAIMS[0], "1 subject, 3 seeds", "at the limit", 60)
    assert row["wrong"] > 20
    assert errors.excesses([row]) == [row]


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.id)
def test_no_verdict_is_wrong_more_often_than_said(errors: ModuleType, claim: Claim) -> None:
    chosen = errors.settings([claim.id], list(errors.DESIGNS))
    rows = [errors.measure(c, design, truth, 500) for c, design, truth in chosen]
    assert errors.excesses(rows) == []
