"""Units as tasks of a Ray cluster: the same rows as in this process, whatever happens to the nodes."""

import importlib.util
import json
import shlex
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from io import StringIO
from pathlib import Path
from typing import Any, cast

import jsonschema
import numpy as np
import pytest
import torch
import typer.testing
import yaml
from rich.console import Console

from audit import cluster, runner
from audit.cli import app, main
from audit.errors import PlanError
from audit.plan import WeightsPlan, load
from audit.preflight import preflight
from audit.subject import models
from audit.subject.trigger import trigger
from audit.work import Context

ROOT = Path(__file__).parents[2]
Execute = Callable[..., runner.Outcome]
RowsOf = Callable[[Path], list[tuple[Any, ...]]]
needs_ray = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="needs the extra ray")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")


@needs_ray
def test_rows_are_those_of_this_process(
    reference: Path, execute: Execute, rows_of: RowsOf, tmp_path: Path
) -> None:
    outcome = execute(reference / "plan.toml", tmp_path / "out", "ray", 2)
    assert outcome.failed == 0
    assert rows_of(tmp_path / "out") == rows_of(reference / "out")
    again = execute(reference / "plan.toml", tmp_path / "out", "ray", 2)
    assert again.computed == 0


def test_the_baggage_is_all_that_a_node_needs_of_the_plans_folder(
    tiny: dict[str, Any], write_plan: Callable[[dict[str, Any]], Path], execute: Execute, tmp_path: Path
) -> None:
    """The user's own code and weights are read where they were unpacked, after their folder is gone."""
    here = tmp_path / "here"
    here.mkdir()
    (here / "own.py").write_text(
        "from pathlib import Path\nfrom helper import WIDTH\nfrom torch import nn\n\n"
        "def build():\n    assert Path('words.txt').read_text() == 'a word'\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(64, WIDTH), nn.ReLU(), nn.Linear(WIDTH, 10))\n"
    )
    (here / "helper.py").write_text("WIDTH = 16\n")
    (here / "words.txt").write_text("a word")
    (here / ".hidden").write_text("not this")
    tiny["model"]["build"] = "own.py:build"
    plan_file = here / "plan.toml"
    shutil.copy(write_plan(tiny), plan_file)
    plan = load(plan_file)
    subject = preflight(plan)
    context = Context(subject.plan, subject.data, here / "out")
    baggage = cluster._Baggage.of(context)
    assert set(baggage.beside) == {"own.py", "helper.py", "words.txt", "plan.toml"}
    here.rename(tmp_path / "gone")
    there = tmp_path / "there"
    there.mkdir()
    unpacked = baggage.unpacked(there)
    assert unpacked.plan.path(Path("own.py")).is_file()
    assert unpacked.out == there
    assert preflight(unpacked.plan).parameters == subject.parameters


def unpacked(context: Context, folder: Path) -> Context:
    """What a node would work with, after the plan's own folder is gone."""
    baggage = cluster._Baggage.of(context)
    context.plan.folder.rename(folder / "gone")
    (folder / "there").mkdir()
    return baggage.unpacked(folder / "there")


def test_a_program_and_the_inputs_of_a_trigger_travel(
    tiny: dict[str, Any], write_plan: Callable[[dict[str, Any]], Path], tmp_path: Path
) -> None:
    here = tmp_path / "here"
    here.mkdir()
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10)).eval()
    torch.jit.trace(net, torch.zeros(2, 1, 8, 8)).save(here / "net.pt")  # type: ignore[no-untyped-call]
    np.savez(here / "seen.npz", x=np.zeros((3, 1, 8, 8), np.float32), y=np.array([0, 1, 0]))
    tiny["model"] = {"build": "torchscript:net.pt", "trust": True}
    tiny["probes"]["tampering"]["trigger"] = "seen.npz"
    del tiny["train"], tiny["pruning"], tiny["data"]["train_examples"]
    plan_file = here / "plan.toml"
    shutil.copy(write_plan(tiny), plan_file)
    subject = preflight(load(plan_file))
    there = unpacked(Context(subject.plan, subject.data, here / "out"), tmp_path)
    model = models.builder(there.plan, subject.data)()
    x = torch.rand(4, 1, 8, 8)
    torch.testing.assert_close(model(x), net(x))
    found = trigger(there.plan, subject.data)
    assert found is not None
    assert found().wanted.tolist() == [0, 1, 0]


def test_a_saved_folder_travels_with_its_weights_beside_what_describes_them(
    tiny: dict[str, Any], write_plan: Callable[[dict[str, Any]], Path], tmp_path: Path
) -> None:
    here = tmp_path / "here"
    (here / "vit").mkdir(parents=True)
    (here / "vit/config.json").write_text('{"model_type": "vit"}')
    (here / "vit/model.safetensors").write_bytes(b"weights")
    plan_file = here / "plan.toml"
    shutil.copy(write_plan(tiny), plan_file)
    plan = load(plan_file)
    weights = WeightsPlan(file=Path("vit/model.safetensors"))
    other = plan.model.model_copy(update={"build": "hf:vit", "weights": weights})
    data = cast("Any", None)  # not looked at
    context = Context(plan.model_copy(update={"model": other}), data, here / "out")
    there = unpacked(context, tmp_path).plan
    assert there.model.weights is not None
    home = there.path(there.model.weights.file).parent
    assert there.model.build == f"hf:{home}"
    assert {file.name for file in home.iterdir()} == {"config.json", "model.safetensors"}


def test_without_ray_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(PlanError, match=r"prune-audit\[ray\]"):
        cluster._ray()


def test_an_address_without_the_engine_is_one_message(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "sys.argv", ["prune-audit", "run", "--out", str(tmp_path / "o"), "--address", "127.0.0.1:1"]
    )
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 2
    assert "say --engine ray too" in capsys.readouterr().err


@pytest.fixture
def three_nodes() -> Iterator[Any]:
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    made.add_node(num_cpus=1)
    victim = made.add_node(num_cpus=1)
    yield made, victim
    made.shutdown()


@pytest.mark.slow
@needs_ray
def test_a_node_that_dies_in_mid_run_costs_no_row(
    reference: Path, rows_of: RowsOf, tmp_path: Path, three_nodes: Any
) -> None:
    nodes, victim = three_nodes
    out = tmp_path / "out"
    killed = threading.Event()

    def kill() -> None:
        while len(list((out / "models").glob("*.safetensors"))) < 2:
            time.sleep(0.05)
        nodes.remove_node(victim, allow_graceful=False)
        killed.set()

    threading.Thread(target=kill, daemon=True).start()
    subject = preflight(load(reference / "plan.toml"))
    outcome = runner.run(
        subject, out, engine="ray", jobs=None, command="test", console=Console(file=StringIO()),
        address=nodes.address,
    )  # fmt: skip
    assert killed.is_set()
    assert outcome.failed == 0
    assert rows_of(out) == rows_of(reference / "out")


def test_the_kubernetes_manifest_is_one_that_kuberay_reads() -> None:
    text = (ROOT / "examples" / "kubernetes" / "rayjob.yaml").read_text(encoding="utf-8")
    schema = json.loads((Path(__file__).parent / "rayjob.schema.json").read_text(encoding="utf-8"))
    manifest = yaml.safe_load(text)
    jsonschema.validate(manifest, schema)
    command = shlex.split(manifest["spec"]["entrypoint"])
    found = typer.testing.CliRunner().invoke(app, [*command[1:], "--help"])
    assert found.exit_code == 0
    manifest["spec"]["rayClusterSpec"]["workerGroupSpecs"][0]["replica"] = 4
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(manifest, schema)
