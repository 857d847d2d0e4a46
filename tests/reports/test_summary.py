import re
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from reports.data.key import collapsed
from reports.data.ledger import Ledger, MeasurementRow, UnitRow, VariantRow
from reports.data.results import Results, read
from reports.families import keys
from reports.gate.judge import Verdicts, judge
from reports.gate.policy import Policy, Rule
from reports.language.metrics import metric as about_metric
from reports.page.tables import comparison_table
from reports.story.analysis import analyse
from reports.story.headline import at_variant
from reports.story.summary import sentences, summarise

FORBIDDEN = ("safe", "secure", "compliant", "PASS", "FAIL")
RULE = {"id": "clean", "metric": "accuracy", "at": {"split": "test"}, "max_drop": 0.05}
STAMP = {"seconds": 1.0, "finished": ""}


def accuracies(folder: Path, shares: dict[str, float], n: int = 1000, classes: int = 10) -> Results:
    """A run of clean accuracies only: exactly that share of n examples is right, the easiest first."""
    about: dict[str, Any] = {"plan_digest": "d", "subject": {"classes": [str(i) for i in range(classes)]}}
    with Ledger.open(folder / "run.sqlite", about, [UnitRow(v, "accuracy", v) for v in shares]) as ledger:
        for variant, share in shares.items():
            method, _, sparsity = variant.partition("@")
            level = float(sparsity or 0)
            row = VariantRow(variant, 0, method, level, level, control=variant == "dense-finetuned")
            right = np.arange(n) < round(share * n)
            half = 1.96 * np.sqrt(share * (1 - share) / n)
            measured = MeasurementRow(
                variant, 0, "accuracy", "accuracy", {"split": "test"}, share, share - half, share + half, n,
                outcomes={"correct": right},
            )  # fmt: skip
            ledger.append(variant, variant=row, measurements=[measured], **STAMP)
    return read(folder)


def again(folder: Path, *more: UnitRow) -> Ledger:
    """The run's file once more, its plan as it stands and these units."""
    known = read(folder).units[["id", "kind", "label"]].itertuples(index=False)
    units = [*(UnitRow(*unit) for unit in known), *more]
    return Ledger.open(folder / "run.sqlite", {"plan_digest": "d"}, units)


def verdicts(results: Results, **limit: float) -> Verdicts:
    """Judged by one rule: clean accuracy at most 5 points below dense, or as given."""
    table = {key: value for key, value in RULE.items() if not limit or key != "max_drop"}
    return judge(results, Policy((Rule.model_validate(table | limit),), name="house"))


def judged(results: Results, **limit: float) -> list[str]:
    return sentences(results, verdicts(results, **limit))


def test_the_first_sentence_names_the_strongest_pruning_that_meets_the_policy(tmp_path: Path) -> None:
    results = accuracies(
        tmp_path, {"dense": 0.95, "m@0.5": 0.95, "m@0.75": 0.94, "m@0.9": 0.80, "k@0.6": 0.95}
    )
    said = judged(results)
    assert said[0].startswith("Ship m at 75%, which meets the policy “house”: ")
    assert said[1] == "Beyond it, at 90%, clean accuracy breaks first."
    assert any(
        s.startswith("m: meets the policy up to 75%; at 90% clean accuracy falls by 15.0") for s in said
    )
    assert "k: meets the policy up to 60%." in said


def test_one_that_stands_beyond_a_milder_one_in_doubt_is_not_shipped(tmp_path: Path) -> None:
    """Tests go in sequence: the mildest of a method first."""
    results = accuracies(tmp_path, {"dense": 0.95, "m@0.5": 0.89, "m@0.75": 0.95})
    assert judged(results)[0] == (
        "Do not ship yet: no pruned version is shown to meet the policy “house”; nothing fails up to m at "
        "75%, and nothing stronger was tried by this method."
    )


def test_a_pruning_without_costs_and_losses_says_so(tmp_path: Path) -> None:
    said = judged(accuracies(tmp_path, {"dense": 0.95, "m@0.5": 0.95}))
    assert said[0] == (
        "Ship m at 50%, which meets the policy “house”: what it saves was not measured; no loss against "
        "dense is shown."
    )
    assert said[1] == "Nothing stronger was tried by this method."


def test_where_nothing_meets_it_the_strongest_that_fails_nothing_is_named(tmp_path: Path) -> None:
    said = judged(accuracies(tmp_path, {"dense": 0.95, "m@0.5": 0.90, "m@0.9": 0.7}))
    assert said[0] == (
        "Do not ship yet: no pruned version is shown to meet the policy “house”; nothing fails up to m at "
        "50%, and beyond it, at 90%, clean accuracy breaks first."
    )
    assert said[1] == "For m at 50%, not decided: clean accuracy."


def test_a_variant_without_a_figure_is_not_one_that_fails_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    results = accuracies(folder, {"dense": 0.95, "m@0.5": 0.90, "m@0.9": 0.95})
    with again(folder) as ledger:
        ledger.append("m@0.9", variant=VariantRow("m@0.9", 0, "m", 0.9, 0.9), **STAMP)
    found = judged(read(folder))
    assert "nothing fails up to m at 50%" in found[0]
    assert "at 90%, clean accuracy was not measured" in found[0]
    with again(folder) as ledger:
        ledger.append("m@0.5", variant=VariantRow("m@0.5", 0, "m", 0.5, 0.5), **STAMP)
    assert judged(read(folder))[0] == (
        "Do not ship yet: no pruned version was measured for what the policy “house” asks."
    )
    assert judged(results)[0] != judged(read(folder))[0]


def test_where_everything_fails_the_mildest_is_named(tmp_path: Path) -> None:
    said = judged(accuracies(tmp_path, {"dense": 0.95, "m@0.5": 0.8, "m@0.9": 0.7}))
    assert re.fullmatch(
        r"Do not ship any pruned version: each breaks the policy “house”, even m at 50%, the mildest of "
        r"them: clean accuracy falls by 15\.0 points \(\+12\.\d to \+17\.\d; at most 5\.0 points below dense "
        r"allowed\)\.",
        said[0],
    )


def test_the_same_results_under_another_limit_have_another_answer(tmp_path: Path) -> None:
    results = accuracies(tmp_path, {"dense": 0.95, "m@0.5": 0.95, "m@0.9": 0.8})
    assert judged(results)[0].startswith("Ship m at 50%, which")
    assert judged(results, min=0.7)[0].startswith("Ship m at 90%, which")
    assert judged(results, min=0.99)[0].startswith("Do not ship any pruned version: each breaks")


COSTS = {  # macs, latency, bytes and compressed bytes, as a share of dense's
    "global-magnitude@0.9": (1.0, 1.02, 1.0, 0.15),
    "filter-l2@0.5": (0.5, 0.7, 0.5, 0.5),
    "filter-l2@0.75": (0.3, 0.5, 0.25, 0.25),
}


def priced(folder: Path, shares: dict[str, float], compressed: bool = True) -> Results:
    """The run of :func:`accuracies` with costs."""
    accuracies(folder, shares)
    units = [UnitRow(f"cost-{v}", "cost", v) for v in shares]
    with again(folder, *units) as ledger:
        for name in shares:
            costs = zip(
                ("macs", "latency", "bytes", "compressed_bytes"), COSTS.get(name, (1.0,) * 4), strict=True
            )
            rows = [
                MeasurementRow(name, 0, "cost", metric, {}, 1000 * c, 1000 * c, 1000 * c, 1)
                for metric, c in costs
                if compressed or metric != "compressed_bytes"
            ]
            ledger.append(f"cost-{name}", measurements=rows, **STAMP)
    return read(folder)


def test_what_meets_the_policy_is_ranked_by_what_it_saves_and_not_by_its_sparsity(tmp_path: Path) -> None:
    shares = {"dense": 0.95, "global-magnitude@0.9": 0.95, "filter-l2@0.5": 0.94, "filter-l2@0.75": 0.8}
    said = judged(priced(tmp_path, shares))
    assert said[0] == (
        "Ship filter-l2 at 50%, which meets the policy “house”: it saves 50% of the multiply–accumulates, "
        "30% of the latency and 50% of the compressed size; it costs 1.0 points of clean accuracy."
    )
    assert said[1] == "Beyond it, at 75%, clean accuracy breaks first."
    assert said[2] == (
        "global-magnitude at 90% is sparser and meets the policy too, but it saves 85% of the compressed "
        "size; it runs no faster: the multiply–accumulates and the latency stay dense’s."
    )


@pytest.mark.parametrize("compressed", [True, False])
def test_what_saves_nothing_is_said_to(tmp_path: Path, compressed: bool) -> None:
    shares = {"dense": 0.95, "global-magnitude@0.9": 0.95}
    said = judged(priced(tmp_path, shares, compressed))[0]
    assert said.startswith("Ship global-magnitude at 90%, which meets the policy “house”: ")
    assert ("saves 85% of the compressed size" in said) is compressed
    assert "it runs no faster: the multiply–accumulates and the latency stay dense’s" in said
    assert ("saves" in said) is compressed


def test_dense_alone_meets_nothing_that_does_not_judge_it(tmp_path: Path) -> None:
    results = accuracies(tmp_path, {"dense": 0.95})
    for rule in (RULE, {"id": "r", "metric": "accuracy", "min": 0.5, "variants": ["m@*"]}):
        (said, *_) = sentences(results, judge(results, Policy((Rule.model_validate(rule),), name="house")))
        assert "no rule of the policy “house” is for it: it is not judged" in said


def test_an_unfinished_run_of_dense_alone_meets_nothing(tmp_path: Path) -> None:
    accuracies(tmp_path, {"dense": 0.95})
    with again(tmp_path, UnitRow("late", "evasion", "late")):
        pass
    said = judged(read(tmp_path), min=0.5)[0]
    assert "the run is not finished" in said
    assert "meets the policy" not in said


@pytest.mark.parametrize("margin", [0.0, 0.01, 0.03, 0.05, 0.1])
def test_no_sentence_and_no_table_contradicts_the_gate(results: Results, margin: float) -> None:
    """What the gate fails against dense, page and headline call worse, and never “no difference”."""
    a = analyse(results)
    found = 0
    for key in a.keys:
        kind = "max_rise" if about_metric(key.metric).worse == "higher" else "max_drop"
        rule = {"id": "r", "metric": key.metric, "at": dict(key.at), kind: margin}
        verdict = judge(results, Policy((Rule.model_validate(rule),), name="house"))
        table = comparison_table(a)
        assert table is not None
        words = {row[0].text: row[2 + a.keys.index(key)].verdict for row in table.rows}
        for decision in verdict.decisions:
            if decision.status != "fail" or decision.variant in a.collapsed:
                continue
            found += 1
            assert a.against_dense[key.metric][decision.variant].direction == "worse"
            assert words[decision.variant] == "worse"
            (line,) = at_variant(a, decision.variant)
            still = line.partition("no difference can be shown in ")[2]
            assert key.label not in still
    assert found or margin > 0.05


def test_a_difference_lost_to_the_correction_is_not_called_none(results: Results) -> None:
    """“No difference can be shown” is said only where the interval holds zero."""
    a = analyse(results)
    for name in results.names(pruned=True):
        (line,) = at_variant(a, name)
        still = line.partition("no difference can be shown in ")[2]
        for key in a.keys:
            comparison = a.against_dense[key.metric].get(name)
            assert comparison is not None
            if not comparison.pooled.low <= 0 <= comparison.pooled.high:
                assert key.label not in still, (line, comparison.pooled)


def test_without_verdicts_the_preset_standard_judges(tmp_path: Path) -> None:
    said = sentences(accuracies(tmp_path, {"dense": 0.95, "m@0.5": 0.95}))
    assert "the policy “standard”" in said[0]
    assert any(s.startswith("Not shown to differ does not mean equal") for s in said)


def test_a_collapsed_model_is_called_that(tmp_path: Path) -> None:
    results = accuracies(tmp_path, {"dense": 0.95, "m@0.5": 0.95, "m@0.99": 0.11})
    assert set(collapsed(results)) == {"m@0.99"}
    said = " ".join(judged(results))
    assert "m at 99% (11.0%) has collapsed towards chance (10.0%)" in said


@pytest.mark.parametrize(
    ("share", "classes", "fallen"),
    [
        (0.27, 10, False),
        (0.26, 10, True),
        (0.55, 2, True),
        (0.7, 2, False),
        (0.19, 1000, True),
        (0.2, 1000, False),
    ],
)
def test_collapse_is_measured_from_chance_to_dense(
    tmp_path: Path, share: float, classes: int, fallen: bool
) -> None:
    results = accuracies(tmp_path, {"dense": 0.95, "m@0.9": share}, classes=classes)
    assert ("m@0.9" in collapsed(results)) is fallen


def test_a_collapsed_dense_model_silences_the_rest(tmp_path: Path) -> None:
    results = accuracies(tmp_path, {"dense": 0.11, "m@0.5": 0.5})
    summary = summarise(analyse(results), verdicts(results))
    assert "dense model itself is near chance" in summary.headline[0]
    assert len(summary.headline) == 1
    assert summary.methods == ()


def test_a_model_alone_is_described_as_it_is(tmp_path: Path) -> None:
    results = accuracies(tmp_path, {"dense": 0.95})
    lead = "No pruned version was measured; the model as it is has clean accuracy 95.0%"
    assert judged(results, min=0.9)[0] == f"{lead}, and meets the policy “house”."
    assert judged(results, min=0.99)[0] == (
        f"{lead}. It fails the policy “house”: clean accuracy is 95.0% (93.6–96.4%; at least 99.0% asked)."
    )


def test_one_seed_a_missing_control_and_an_unfinished_run_are_said(
    tmp_path: Path, synthetic: ModuleType
) -> None:
    folder = synthetic.build(tmp_path, seeds=[0], control=False, unfinished=3, methods=["global-magnitude"])
    said = " ".join(sentences(read(folder)))
    assert "One training seed only" in said
    assert "no dense control" in said
    assert (
        "The run is incomplete: of 33 planned units 30 done, 0 failed, 3 not run; until all have run, no"
        in said
    )


def test_three_seeds_with_control_do_not_say_so(results: Results) -> None:
    said = " ".join(sentences(results))
    assert "One training seed" not in said
    assert "no dense control" not in said
    assert "Fine-tuning alone (dense-finetuned)" in said
    assert "1 figure failed" in said


def test_nothing_measured_and_no_dense(tmp_path: Path) -> None:
    with Ledger.open(tmp_path / "run.sqlite", {"plan_digest": "d"}, [UnitRow("u", "dense", "train")]):
        pass
    said = sentences(read(tmp_path))
    assert said[0] == "Nothing has been measured yet."
    assert any("of 1 planned unit 0 done" in sentence for sentence in said[1:])
    (tmp_path / "b").mkdir()
    assert "no clean accuracy" in sentences(accuracies(tmp_path / "b", {"m@0.5": 0.9}))[0]


def test_keys_are_chosen_on_dense(results: Results) -> None:
    found = {key.family: key for key in keys(results)}
    assert list(found) == ["accuracy", "evasion", "membership", "extraction"]
    dense = {
        c["eps"]: v
        for c, v in results.select("robust_accuracy", {"attack": "worst_case"}, variant="dense")
        .groupby("at", sort=False)
        .agg({"conditions": "first", "value": "mean"})
        .to_numpy()
    }
    clean = results.select("accuracy", {"split": "test"}, variant="dense")["value"].mean()
    assert found["evasion"].at["eps"] == min(dense, key=lambda eps: abs(dense[eps] - clean / 2))
    assert found["extraction"].at == {"attack": "knockoff", "queries": 900}
    assert found["membership"].at == {"attack": "loss"}


def test_forbidden_words_are_never_used(results: Results, tmp_path: Path) -> None:
    said = sentences(results) + sentences(accuracies(tmp_path, {"dense": 0.95, "m@0.5": 0.95}))
    for sentence in said:
        assert not any(word in sentence for word in FORBIDDEN), sentence
