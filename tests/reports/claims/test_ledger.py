"""The ledger of whole runs: what is missing is not tested, and order and names change nothing."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from types import MappingProxyType, ModuleType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reports.claims import Absent, Ledger, Study, claims, headline, judge, resolution
from reports.claims.figures import plain
from reports.claims.ledger import Finding, Found, weighed
from reports.claims.study import Cell
from reports.claims.verdict import decide
from reports.claims.words import sentences, summary
from reports.data.ledger import pack, unpack
from reports.data.results import Results
from reports.stats.student import Estimate

TESTABLE = {"C1", "C3", "C4", "C8", "C9", "C10", "C11", "C12", "C13"}
"""What the synthetic run has figures for: no unlike attacks, no further attackers, no tampering."""


@pytest.fixture(scope="module")
def ledger(demo: Study) -> Ledger:
    return judge([demo])


def test_what_was_not_measured_is_not_tested_and_says_what_is_missing(ledger: Ledger) -> None:
    assert {f.claim.id for f in ledger.findings if f.verdict != "not tested"} == TESTABLE - _no_bytes()
    for finding in ledger.findings:
        if finding.verdict == "not tested":
            assert finding.missing
            assert summary(finding).startswith("Not measured: ")


def _no_bytes() -> set[str]:
    """The synthetic run has no compressed bytes."""
    return {"C12"}


def test_no_study_is_nothing_tested() -> None:
    empty = judge([], [Absent("mnist", "mnist", "lenet5", "none", "no MNIST at data")])
    assert {finding.verdict for finding in empty.findings} == {"not tested"}
    assert "14 are not tested" in headline(empty)
    assert all("no MNIST at data" in " ".join(sentences(f)) for f in empty.findings)
    assert "C1 and C2 were not tested" in resolution(empty)


@pytest.mark.parametrize(
    ("metric", "claim"),
    [
        ("robust_accuracy", "C1"),
        ("robust_accuracy", "C3"),
        ("membership_auc", "C4"),
        ("accuracy", "C8"),
        ("accuracy", "C9"),
        ("macs", "C10"),
        ("robust_accuracy", "C11"),
        ("latency", "C12"),
        ("accuracy", "C13"),
        ("extraction_fidelity", "C6"),
    ],
)
def test_a_claim_without_its_figure_is_not_tested_never_inconclusive(
    demo: Study, without: Callable[..., Results], metric: str, claim: str
) -> None:
    found = judge([replace(demo, results=without(demo.results, metric))]).of(claim)
    assert found.verdict == "not tested"
    assert found.missing


def test_one_seed_is_inconclusive_and_says_how_many_are_needed(written: Callable[..., Results]) -> None:
    found = judge([Study("one", "digits", "net", "none", written(seeds=[0]))]).of("C1")
    assert found.verdict == "inconclusive"
    assert "at least 3 are needed" in summary(found)


def test_dense_alone_is_not_tested(written: Callable[..., Results]) -> None:
    found = judge([Study("dense", "digits", "net", "none", written(methods=[]))])
    assert found.count("not tested") == 14


def test_recipes_that_are_not_said_make_no_claim(demo: Study) -> None:
    about = {key: value for key, value in demo.results.about.items() if key != "recipes"}
    found = judge([replace(demo, results=replace(demo.results, about=MappingProxyType(about)))])
    assert found.count("not tested") == 14


def test_studies_of_one_name_are_refused(demo: Study) -> None:
    with pytest.raises(ValueError, match="one name"):
        judge([demo, demo])


def _verdicts(ledger: Ledger) -> list[tuple[str, str, float]]:
    return [(f.claim.id, f.verdict, round(f.decided.p, 9)) for f in ledger.findings]


def test_shuffled_rows_and_renamed_seeds_change_nothing(demo: Study, ledger: Ledger) -> None:
    rng = np.random.default_rng(3)
    names = {0: 41, 1: 7, 2: 19}

    def turn(rows: object) -> object:
        frame = rows.iloc[rng.permutation(len(rows))].reset_index(drop=True)  # type: ignore[attr-defined]
        return frame.assign(seed=frame["seed"].map(names))

    results = demo.results
    turned = replace(
        results,
        variants=turn(results.variants),  # type: ignore[arg-type]
        measurements=turn(results.measurements),  # type: ignore[arg-type]
        by_metric=MappingProxyType({k: turn(v) for k, v in results.by_metric.items()}),  # type: ignore[arg-type]
    )
    assert _verdicts(judge([replace(demo, results=turned)])) == _verdicts(ledger)


def _shuffled(found: Found, order: Sequence[int], names: Sequence[int]) -> dict[str, list[Cell]]:
    turned = {}
    for name, cells in found.items():
        mixed = [cells[i % len(cells)] for i in order] if len(order) == len(cells) else list(cells)[::-1]
        turned[name] = [replace(c, each={names[s]: d for s, d in c.each.items()}) for c in mixed]
    return turned


@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_order_and_names_of_seeds_do_not_matter(known: ModuleType, data: st.DataObject) -> None:
    claim = data.draw(st.sampled_from([c for c in claims() if c.id in ("C1", "C8", "C13", "C14")]))
    truth = data.draw(st.sampled_from(known.TRUTHS))
    design = known.Design(subjects=data.draw(st.sampled_from([1, 2])))
    found = known.draw(claim, truth, design, np.random.default_rng(data.draw(st.integers(0, 1000))))
    many = len(next(iter(found.values())))
    order = data.draw(st.permutations(range(many)))
    names = data.draw(st.permutations([3, 11, 29]))
    turned = _shuffled(found, order, names)
    before, after = (weighed(claim, cells)[1] for cells in (found, turned))
    assert before is not None
    assert after is not None
    assert decide([before])[0].verdict == decide([after])[0].verdict
    assert before.p == pytest.approx(after.p, rel=1e-6, abs=1e-12)


def test_a_family_that_no_subject_has_leaves_the_safe_setting_untested(known: ModuleType) -> None:
    claim = next(c for c in claims() if c.id == "C14")
    found = known.draw(claim, "holds", known.Design(own=0.1, example=1.0), np.random.default_rng(0))
    assert decide([weighed(claim, found)[1]])[0].verdict == "supported"
    lacking = {**found, "robust accuracy": []}
    _, p, missing = weighed(claim, lacking)
    assert p is None
    assert missing == ["robust accuracy: no robust accuracy: probe evasion"]


def test_a_figure_in_doubt_makes_no_setting_safe(known: ModuleType) -> None:
    claim = next(c for c in claims() if c.id == "C14")
    found = known.draw(claim, "holds", known.Design(), np.random.default_rng(0))
    doubted = {**found, "robust accuracy": [replace(c, excluded="doubt") for c in found["robust accuracy"]]}
    assert decide([weighed(claim, doubted)[1]])[0].verdict == "inconclusive"


def test_excluded_cells_do_not_count_and_are_told(known: ModuleType) -> None:
    claim = claims()[0]
    found = known.draw(claim, "holds", known.Design(), np.random.default_rng(0))
    name = claim.facets[0].name
    worse = [replace(c, excluded="near chance", each={s: plain(-0.9) for s in c.each}) for c in found[name]]
    both = {name: [*found[name], *worse]}
    assert weighed(claim, both)[1].holds == pytest.approx(weighed(claim, found)[1].holds)  # type: ignore[union-attr]
    _, p, missing = weighed(claim, {name: worse})
    assert p is None
    assert "none of which counts (near chance)" in missing[0]


def _as_dense(results: Results, drop: float = 0.0) -> Results:
    """The run as if every variant were dense, right on ``drop`` fewer of the examples of every rate."""
    table = {}
    for metric, rows in results.by_metric.items():
        known = {(r["seed"], r["at"]): r for r in rows[rows["variant"] == "dense"].to_dict("records")}
        turned = rows.copy()
        for i, row in zip(turned.index, rows.to_dict("records"), strict=True):
            dense = known.get((row["seed"], row["at"]))
            if dense is None or row["variant"] == "dense":
                continue
            turned.loc[i, ["value", "low", "high"]] = [dense[key] for key in ("value", "low", "high")]
            turned.at[i, "outcomes"] = _fewer(dense["outcomes"], drop if row["control"] is False else 0.0)
        table[metric] = turned
    return replace(results, by_metric=MappingProxyType(table))


def _fewer(blob: bytes | None, drop: float) -> bytes | None:
    arrays = unpack(blob) if isinstance(blob, bytes) else None
    if not arrays or "correct" not in arrays or not drop:
        return blob
    right = np.flatnonzero(arrays["correct"])
    lost = arrays["correct"].copy()
    lost[right[: round(drop * len(lost))]] = False
    return pack({**arrays, "correct": lost})


def test_variants_that_are_dense_themselves_show_no_effect(demo: Study) -> None:
    """The null control, on a whole run: nothing but sameness is found."""
    found = judge([replace(demo, results=_as_dense(demo.results))])
    assert {f.verdict for f in found.findings if f.claim.id in ("C1", "C4", "C8", "C9")} == {"contradicted"}
    assert found.of("C13").verdict == "supported"
    assert all(one.effect.value == 0 for one in found.of("C1").pooled)


def test_variants_that_lose_what_was_planted_show_it(demo: Study) -> None:
    """The positive control: a tenth of the examples lost by every pruned model."""
    found = judge([replace(demo, results=_as_dense(demo.results, 0.1))])
    assert found.of("C9").verdict == "supported"
    assert found.of("C13").verdict == "contradicted"
    assert found.of("C1").verdict == "contradicted"
    assert found.of("C9").wholes[0].effect.value == pytest.approx(-0.1, abs=0.003)


def test_what_each_subject_shows_and_their_mean_does_not_is_said(known: ModuleType) -> None:
    """Two subjects that agree: their mean's interval has one degree of freedom, and would look like doubt."""
    claim = claims()[0]
    found = known.draw(
        claim, "fails", known.Design(subjects=2, own=0.1, example=1.0), np.random.default_rng(0)
    )
    pooled, p, _ = weighed(claim, found)
    assert p is not None
    finding = Finding(claim, decide([p])[0], tuple(pooled), (), (), (), ())
    assert finding.verdict == "contradicted"
    low, high = pooled[0].effect.ends()
    assert low < 0.02 < high or "shown in each of 2 subjects" not in summary(finding)
    wide = replace(pooled[0], summary=replace(pooled[0].summary, mean=Estimate(-0.04, 0.05, 1)))
    told = summary(replace(finding, pooled=(wide, *pooled[1:])))
    assert "shown in each of 2 subjects: " in told
