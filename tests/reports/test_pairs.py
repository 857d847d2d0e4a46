"""Variant against variant, on the page and on the command line."""

import re
import sqlite3
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from reports.data.results import Results, read
from reports.page import pairs
from reports.page.render import render
from reports.page.tables import comparison_table
from reports.stats.compare import _compared, compare_all, compare_pairs
from reports.stats.paired import rate_difference
from reports.story.analysis import analyse
from reports.story.headline import at_variant


def test_every_pair_of_a_small_run_is_on_the_page_once(results: Results) -> None:
    chosen = pairs.pairs(results)
    assert len(chosen) == 12 * 11 // 2
    assert len({frozenset(pair) for pair in chosen}) == len(chosen)
    assert not pairs.left_out(results, chosen)
    page = render(results)
    fold = page[page.index('class="bulk pairs"') :].partition("</table>")[0]
    assert len(re.findall(r'<tr data-v="\d+ \d+"', fold)) == len(chosen)
    assert "filter-l2 at 75% minus filter-l2 at 50%" in fold


def test_a_pair_is_the_difference_of_its_answers_and_turns_its_sign_when_turned(results: Results) -> None:
    key = next(key for key in analyse(results).keys if key.metric == "robust_accuracy")
    pair = ("filter-l2@0.9", "filter-l2@0.5")
    one = compare_pairs(results, [pair], key.metric, key.at)[pair]
    turned = compare_pairs(results, [pair[::-1]], key.metric, key.at)[pair[::-1]]
    assert one.pooled.value == pytest.approx(-turned.pooled.value)
    assert (one.pooled.low, one.pooled.high) == pytest.approx((-turned.pooled.high, -turned.pooled.low))
    means = results.select(key.metric, key.at).groupby("variant")["value"].mean()
    assert one.pooled.value == pytest.approx(means[pair[0]] - means[pair[1]])


def test_a_pair_with_dense_is_what_stands_against_dense(results: Results) -> None:
    key = analyse(results).keys[0]
    pairs_with = [(name, "dense") for name in results.names() if name != "dense"]
    found = compare_pairs(results, pairs_with, key.metric, key.at)
    for (name, _), one in found.items():
        other = compare_all(results, [name], key.metric, key.at)[name]
        assert (one.pooled.low, one.pooled.high) == (other.pooled.low, other.pooled.high)
        assert (one.fallen, one.risen) == (other.fallen, other.risen)


def test_words_are_corrected_for_all_pairs_that_one_could_have_picked(results: Results) -> None:
    key = analyse(results).keys[0]
    chosen = pairs.pairs(results)
    found = compare_pairs(results, chosen, key.metric, key.at)
    for pair in chosen[:6]:
        alone = compare_pairs(results, [pair], key.metric, key.at)[pair]
        among = compare_pairs(results, [pair], key.metric, key.at, among=len(chosen))[pair]
        assert alone.fallen <= found[pair].fallen <= among.fallen + 1e-12
        assert among.fallen == pytest.approx(min(1.0, len(chosen) * alone.fallen))


def test_pairs_of_models_without_a_difference_are_seldom_called_different() -> None:
    """The family's level, over runs of twelve models that differ by chance alone."""
    rng = np.random.default_rng(3)
    wrong = 0
    for _ in range(120):
        hard = rng.normal(size=150)
        hits = [0.9 * hard + 0.45 * rng.normal(size=150) < 0.5 for _ in range(8)]
        made = {(str(b), str(a)): {0: rate_difference(hits[b], hits[a])} for b in range(8) for a in range(b)}
        wrong += any(one.direction != "same" for one in _compared(made, "accuracy", {}))
    assert wrong <= 12  # 5% of 120 is 6; more than 12 has a chance of 0.7%


def test_of_many_models_those_of_a_method_or_a_sparsity_are_paired_and_of_too_many_none(
    synthetic: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synthetic.build(tmp_path, methods=["a", "b"], sparsities=[0.5, 0.75, 0.9], seeds=[0], n=60)
    results = read(tmp_path)
    monkeypatch.setattr(pairs, "MOST", 14)
    chosen = pairs.pairs(results)
    assert len(chosen) == 2 * 3 + 3
    assert ("b@0.5", "a@0.5") in chosen
    assert ("b@0.9", "a@0.5") not in chosen
    assert "prune-audit compare RUN --pair" in render(results)
    monkeypatch.setattr(pairs, "MOST", 8)
    assert pairs.pairs(results) == []
    page = render(results)
    assert "6 models are too many pairs; prune-audit compare RUN --pair" in page
    assert 'class="bulk pairs"' not in page


def test_a_pair_that_someone_picks_has_the_words_of_the_page(
    results: Results, monkeypatch: pytest.MonkeyPatch
) -> None:
    analysis = analyse(results)
    chosen = pairs.pairs(results)
    table = pairs.pairs_table(analysis, chosen)
    assert table is not None
    for place in (0, 20, 65):
        for pair in (chosen[place], chosen[place][::-1]):
            own = pairs.two(analysis, pair)
            assert own is not None
            assert own.rows == (table.rows[place],)
    against = comparison_table(analysis)
    own = pairs.two(analysis, ("dense", "filter-l2@0.9"))
    assert against is not None
    assert own is not None
    assert own.rows[0][0].text == "filter-l2 at 90% minus dense"
    row = next(row for row in against.rows if row[0].text == "filter-l2@0.9")
    assert own.rows[0][1:] == row[2:]


def test_a_figure_whose_attacks_failed_is_never_called_better_or_as_good(
    synthetic: ModuleType, tmp_path: Path
) -> None:
    """A flag is raised: tables, pairs and headline say that nothing is known."""
    synthetic.build(tmp_path, methods=["m"], sparsities=[0.5, 0.9], seeds=[0], n=200)
    with sqlite3.connect(tmp_path / "run.sqlite") as file:
        file.execute(
            "update every_measurement set value = 1 where metric = 'attack_health' and variant = 'm@0.5'"
        )
    file.close()
    analysis = analyse(read(tmp_path))
    place = [key.metric for key in analysis.keys].index("robust_accuracy")
    label = analysis.keys[place].label
    table = comparison_table(analysis)
    assert table is not None
    words = {row[0].text: row[2 + place].verdict for row in table.rows}
    assert words["m@0.5"] == "in doubt"
    assert words["m@0.9"] != "in doubt"
    told = pairs.pairs_table(analysis, [("m@0.9", "m@0.5")])
    assert told is not None
    assert told.rows[0][1 + place].verdict == "in doubt"  # of the reference nothing is known
    (said,) = at_variant(analysis, "m@0.5")
    assert f"nothing is known of {label}" in said
    assert label not in said.partition("no difference can be shown in ")[2].partition(";")[0]
