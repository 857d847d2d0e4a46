"""A run in MLflow: names that it takes; and, where MLflow is, a real server that has it all."""

import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from urllib.request import urlopen

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit import tracking
from audit.errors import IncompleteError, PlanError
from reports.write import Judged, judged, write

HAVE = importlib.util.find_spec("mlflow") is not None


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Judged]:
    file = Path(__file__).parents[1] / "reports" / "synthetic.py"
    spec = importlib.util.spec_from_file_location("synthetic_for_tracking", file)
    assert spec is not None
    assert spec.loader is not None
    synthetic: ModuleType = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(synthetic)
    folder = synthetic.build(
        tmp_path_factory.mktemp("tracking") / "a run", methods=["m"], sparsities=[0.5], seeds=[0, 1], n=50
    )
    return folder, judged(folder)


def test_every_figure_has_a_name_of_its_own(run: tuple[Path, Judged]) -> None:
    _, found = run
    rows = found.results.measurements.query("status == 'ok'")
    names = [(name, step) for name, _, step in tracking.figures(found)]
    assert len(names) == len(rows)
    assert len(set(names)) == len(names)
    assert sum(value for _, value, _ in tracking.figures(found)) == pytest.approx(rows["value"].sum())


def test_settings_are_those_of_the_plan_by_key() -> None:
    plan = {"train": {"epochs": 3, "fit": None}, "pruning": {"sparsities": [0.5]}, "accept": []}
    assert dict(tracking.settings(plan)) == {"train.epochs": "3", "pruning.sparsities": "[0.5]"}


@given(st.text())
def test_names_hold_what_mlflow_takes(name: str) -> None:
    found = tracking._named(name)
    assert len(found) <= 250
    assert all(c.isascii() and (c.isalnum() or c in "_-. /") for c in found)
    assert not {".", ".."} & set(found.split("/"))


def test_without_mlflow_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(PlanError, match=r"pip install 'prune-audit\[mlflow\]'"):
        tracking.needed()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A tracking server of MLflow's own, on this machine."""
    if not HAVE or importlib.util.find_spec("flask") is None:
        pytest.skip("MLflow is not installed")
    folder = tmp_path_factory.mktemp("mlflow")
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    uri = f"http://127.0.0.1:{port}"
    line = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)]
    line += ["--workers", "1", "--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}"]
    line += ["--artifacts-destination", str(folder / "artefacts")]
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(line, cwd=folder, stdout=quiet, stderr=quiet, start_new_session=True)
    try:
        for _ in range(240):
            try:
                with urlopen(f"{uri}/health", timeout=5):
                    break
            except OSError:
                time.sleep(0.5)
        yield uri
    finally:
        os.killpg(process.pid, signal.SIGTERM)  # its workers too
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_a_real_server_has_settings_figures_verdict_and_report(
    run: tuple[Path, Judged], server: str, tmp_path: Path
) -> None:
    from mlflow.tracking import MlflowClient

    folder = tmp_path / "a run"
    shutil.copytree(run[0], folder)
    name = tracking.log(folder, run[1], write(folder, ["html", "csv"]), server)
    client = MlflowClient(tracking_uri=server)
    logged = client.get_run(name)
    assert logged.data.tags["prune_audit.verdict"] in ("PASS", "FAIL", "INCONCLUSIVE", "NOT RUN")
    assert logged.info.status == "FINISHED"
    assert logged.data.params == dict(tracking.settings(run[1].results.about["plan"]))
    for metric, value, seed in list(tracking.figures(run[1]))[:20]:
        history = {entry.step: entry.value for entry in client.get_metric_history(name, metric)}
        assert history[seed] == pytest.approx(value)
    assert {file.path for file in client.list_artifacts(name)} == {"report.html", "measurements.csv"}


@pytest.mark.skipif(not HAVE, reason="MLflow is not installed")
@pytest.mark.filterwarnings("default")
def test_a_server_that_does_not_answer_costs_nothing(
    run: tuple[Path, Judged], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(IncompleteError, match=r"the run is kept in .*prune-audit report .* --mlflow"):
        tracking.log(run[0], run[1], [], "http://127.0.0.1:9")
