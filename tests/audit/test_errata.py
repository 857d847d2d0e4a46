"""Each mistake of the paper, run: what is printed is not what comes out, and what comes out is asserted."""

import numpy as np
import pytest

from audit.reproduce import errata
from reports.claims import Erratum


@pytest.fixture(scope="module")
def found() -> dict[int, Erratum]:
    return {erratum.number: erratum for erratum in errata.errata()}


def test_there_are_eight_each_with_its_place_and_what_it_gives(found: dict[int, Erratum]) -> None:
    assert list(found) == [1, 2, 3, 4, 5, 6, 7, 8]
    for erratum in found.values():
        assert erratum.where.startswith("§")
        assert erratum.printed
        assert erratum.gives
        assert erratum.corrected
        assert erratum.gives != erratum.corrected


def test_1_the_two_formulas_and_the_magnitude_rule() -> None:
    w = np.array([[-9.0, -1.0, 2.0, 8.0]])
    np.testing.assert_array_equal(errata.keep_below(w, 4), [[-9, -1, 2, 0]])
    np.testing.assert_array_equal(errata.keep_above(w, 4), [[0, 0, 0, 8]])
    np.testing.assert_array_equal(errata.keep_large(w, 4), [[-9, 0, 0, 8]])
    rng = np.random.default_rng(0)
    more = rng.normal(size=(30, 20))
    np.testing.assert_allclose(errata.keep_large(more, 0.7), more * (abs(more) > 0.7), rtol=1e-6)


def test_2_the_example_follows_no_formula(found: dict[int, Erratum]) -> None:
    erratum = found[2]
    assert erratum.corrected == "[0 0 0 / 0 5 6 / 7 8 9]"  # as paper.md says §4.1 gives
    assert erratum.gives == "§4.2: [1 2 3 / 0 0 0 / 0 0 0]\n§4.1: [0 0 0 / 0 5 6 / 7 8 9]"
    assert erratum.paper_says == "5, 6, 9 are zero, 1, 2, 3 stay"


def test_3_units_go_whole(found: dict[int, Erratum]) -> None:
    erratum = found[3]
    assert "importance, 325, is above α" in erratum.gives  # 25 · 26 / 2
    assert "15 of 25 entries" in erratum.gives
    assert erratum.paper_says.startswith("15, 25 are zero")
    assert (
        "those times 2, 1 are left, and 56 of 110 parameters" in erratum.corrected
    )  # 2·25 + 2·2 + 2 of 4·25 + …


def test_4_the_shapes_do_not_fit(found: dict[int, Erratum]) -> None:
    assert "32x784 and 100x500" in found[4].gives
    assert found[4].corrected == "resized to 10×10: outputs of shape 32×10; with 784 inputs: 32×10"


def test_5_the_printed_schedule_falls_and_ours_rises(found: dict[int, Erratum]) -> None:
    times = "sparsity at steps 0, 250, 500, 750, 1000: "
    given, ours = found[5].gives.splitlines()
    falls = [float(value) for value in given.removeprefix(times).split(", ")]
    rises = [float(value) for value in found[5].corrected.removeprefix(times).split(", ")]
    closed = [0.5 * (1 - t / 1000) ** 3 for t in (0, 250, 500, 750, 1000)]
    assert falls == pytest.approx(closed, abs=6e-4)  # three digits are shown
    assert rises == pytest.approx([0.5 - value for value in closed], abs=6e-4)
    assert sorted(falls, reverse=True) == falls
    assert sorted(rises) == rises
    assert "this project refuses it: a polynomial schedule rises" in ours


def test_6_every_probe_is_named(found: dict[int, Erratum]) -> None:
    for name in ("evasion (robust_accuracy", "membership (membership_auc", "extraction (extraction_fidelity"):
        assert name in found[6].corrected


def test_7_the_scaling_rule_makes_a_larger_net(found: dict[int, Erratum]) -> None:
    assert "5,288,548 parameters" in found[7].gives  # as torchvision documents efficientnet_b0
    assert "7,794,184" in found[7].gives


def test_8_the_steps_of_an_epoch(found: dict[int, Erratum]) -> None:
    assert found[8].gives == "1,875 steps an epoch"
    assert found[8].paper_says == "100 steps an epoch"
    assert "3,200 images, 5.3%" in found[8].corrected
