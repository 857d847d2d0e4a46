"""What the page doubts the gate doubts: where the attacker may choose the norm, any norm's flag counts."""

from pathlib import Path
from types import ModuleType

import pytest

from reports.data.health import raised
from reports.gate.judge import judge
from reports.gate.policy import parse

POLICY = parse(
    '[[rule]]\nid = "r"\nmetric = "robust_accuracy"\nat = { norm = "union" }\nmin = 0.4\n', "policy.toml"
)
UNION = {"norm": "union", "eps": 0.1, "attack": "worst_case"}


@pytest.mark.parametrize(
    ("evidence", "value", "expected"),
    [
        (0.9, (0.5, 0.45, 0.55), "inconclusive"),  # raised in L2: the union is an upper bound at best
        (0.5, (0.5, 0.45, 0.55), "pass"),  # at its limit a flag is not raised
        (0.9, (0.3, 0.25, 0.35), "fail"),  # a failure stays one
    ],
)
def test_a_union_of_norms_passes_only_if_every_norm_is_healthy(
    tmp_path: Path,
    runs: ModuleType,
    evidence: float,
    value: tuple[float, float, float],
    expected: str,
) -> None:
    flag = {"flag": "zero_gradients", "norm": "l2", "limit": 0.5}
    results = runs.made(
        tmp_path,
        [
            runs.clean("m@0.5"),
            runs.row("m@0.5", "robust_accuracy", *value, at=UNION),
            runs.row("m@0.5", "attack_health", evidence, evidence, evidence, at=flag),
        ],
    )
    verdicts = judge(results, POLICY)
    assert [decision.status for decision in verdicts.decisions] == [expected]
    assert (("m@0.5", "union") in raised(results)) == (evidence > 0.5)


@pytest.mark.parametrize(("value", "sound"), [(0.2, False), (0.0, True)])
def test_what_stays_uncured_is_said_to_be_not_measured_soundly(
    tmp_path: Path, runs: ModuleType, value: float, sound: bool
) -> None:
    flags = {"zero_gradients": 0.9, "uncured": value}
    results = runs.made(
        tmp_path,
        [
            runs.clean("m@0.5"),
            runs.row("m@0.5", "robust_accuracy", 0.5, 0.45, 0.55, at={**UNION, "norm": "l2"}),
            *(
                runs.row(
                    "m@0.5",
                    "attack_health",
                    share,
                    share,
                    share,
                    at={"flag": flag, "norm": "l2", "limit": 0.01},
                )
                for flag, share in flags.items()
            ),
        ],
    )
    rule = '[[rule]]\nid = "r"\nmetric = "robust_accuracy"\nat = { norm = "l2" }\nmin = 0.4\n'
    (decision,) = judge(results, parse(rule, "policy.toml")).decisions
    assert decision.status == "inconclusive"
    assert ("not measured soundly" in str(decision)) is not sound
    assert "zero gradients" in str(decision)
