"""Models that return something else than logits (N, classes): read as what they mean, or refused."""

import copy
from collections import OrderedDict, namedtuple
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from audit.errors import RefusedError
from audit.plan import load
from audit.preflight import preflight
from audit.subject import models
from audit.subject.outputs import logits_of, returning_logits, sigmoid_last

Z = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
ONE = torch.tensor([[-2.0], [0.5], [0.0], [3.0]])


@pytest.mark.parametrize(
    "outputs",
    [
        Z,
        (Z, "features"),
        [Z, None],
        {"loss": 1.0, "logits": Z},
        OrderedDict(logits=Z),
        SimpleNamespace(logits=Z),
        namedtuple("GoogLeNetOutputs", "aux logits")(None, Z),
    ],
)
def test_logits_are_found(outputs: object):
    assert logits_of(outputs, 3) is Z


@pytest.mark.parametrize("one", [ONE, ONE.squeeze(1), (ONE,), {"logits": ONE}])
def test_one_logit_is_two_classes(one: object):
    """The softmax of (0, z) is the sigmoid of z."""
    two = logits_of(one, 2)
    assert torch.allclose(two.softmax(dim=1)[:, 1:], ONE.sigmoid())
    assert two.argmax(dim=1).tolist() == [0, 1, 0, 1]


@pytest.mark.parametrize("outputs", [None, {}, {"scores": Z}, (), "logits", torch.tensor(1.0)])
def test_what_cannot_be_read_stays(outputs: object):
    assert logits_of(outputs, 2) is outputs


def test_one_logit_for_three_classes_stays():
    assert logits_of(ONE, 3) is ONE


def test_the_model_keeps_its_names_and_survives_a_copy():
    model = returning_logits(nn.Linear(3, 1), 2)
    assert list(model.state_dict()) == ["weight", "bias"]
    assert copy.deepcopy(model)(Z).shape == (4, 2)


@pytest.mark.parametrize(
    ("last", "is_one"),
    [
        (nn.Sequential(nn.Linear(3, 1), nn.Sigmoid()), True),
        (nn.Sequential(nn.Linear(3, 1), nn.Sigmoid(), nn.Flatten(0)), True),
        (nn.Sequential(nn.Sigmoid(), nn.Linear(3, 1)), False),
        (nn.Linear(3, 1), False),
    ],
)
def test_a_last_sigmoid_is_seen(last: nn.Module, is_one: bool):
    assert sigmoid_last(returning_logits(last.requires_grad_(False), 2), Z) is is_one


MODEL = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.hidden = nn.Linear(4, 12)
        self.out = nn.Linear(12, {width})

    def forward(self, x):
        z = self.out(self.hidden(x).relu())
        return {returned}

def build():
    return Net()
"""


@pytest.fixture
def plan_of(
    tmp_path: Path, tiny: dict[str, Any], write_plan: Callable[[dict[str, Any]], Path]
) -> Callable[..., Any]:
    def make(returned: str, width: int = 2) -> Any:
        (tmp_path / "net.py").write_text(MODEL.format(returned=returned, width=width))
        rng = np.random.default_rng(0)
        x = rng.normal(size=(400, 4)).astype("float32")
        y = (x[:, 0] > 0).astype("int64")
        np.savez(tmp_path / "data.npz", x_train=x[:300], y_train=y[:300], x_test=x[300:], y_test=y[300:])
        tiny["model"] = {"build": "net.py:build"}
        tiny["train"]["epochs"] = 30
        tiny["data"] = {"source": "npz:data.npz", "bounds": [-5.0, 5.0]}
        return load(write_plan(tiny))

    return make


@pytest.mark.parametrize(
    ("returned", "width"), [("(z, x)", 2), ("{'logits': z}", 2), ("z", 1), ("z.squeeze(1)", 1)]
)
def test_such_models_pass_preflight(returned: str, width: int, plan_of: Callable[..., Any]):
    subject = preflight(plan_of(returned, width))
    model = models.fresh(models.builder(subject.plan, subject.data), 0)
    assert model(subject.data.test.x[:3]).shape == (3, 2)


@pytest.mark.parametrize(
    ("returned", "width", "said"),
    [
        ("{'scores': z}", 2, "outputs are dict, want logits .* mapping with the key 'logits'"),
        ("None", 2, "outputs are NoneType"),
        ("z.sigmoid()", 1, "comes out of a sigmoid"),
        ("z", 3, "want logits of shape"),
    ],
)
def test_others_are_refused(returned: str, width: int, said: str, plan_of: Callable[..., Any]):
    with pytest.raises(RefusedError, match=said):
        preflight(plan_of(returned, width))


def test_a_model_of_one_logit_is_audited_whole(
    plan_of: Callable[..., Any],
    tmp_path: Path,
    execute: Callable[..., Any],
    rows_of: Callable[[Path], list[Any]],
):
    """Trained, pruned, its neurons removed, loaded again and attacked as a model of two classes."""
    plan_of("z.squeeze(1)", 1)
    assert execute(tmp_path / "plan.toml", tmp_path / "out").failed == 0
    accuracy = {
        row[0]: row[5] for row in rows_of(tmp_path / "out") if row[2] == "accuracy" and "test" in row[4]
    }
    assert set(accuracy) >= {"dense", "filter-l2@0.5", "global-magnitude@0.5"}
    assert accuracy["dense"] > 0.8
