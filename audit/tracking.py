"""A run in MLflow: its settings, every figure, its verdict and its report."""

import importlib.util
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from audit.errors import IncompleteError, PlanError
from reports.gate import status
from reports.write import Judged

LONGEST = {"key": 250, "parameter": 500}
"""Characters that every MLflow since 1.0 takes of a name and of a parameter."""
BATCH = 900
"""Metrics that are sent at once: MLflow takes a thousand."""


def needed() -> None:
    """Raises PlanError where MLflow is not installed: said before anything runs."""
    if importlib.util.find_spec("mlflow") is None:
        raise PlanError("--mlflow: MLflow is not installed; pip install 'prune-audit[mlflow]'")


def log(folder: Path, run: Judged, files: Sequence[Path], uri: str) -> str:
    """Log the run in ``folder`` to the tracking server or folder at ``uri``, as an MLflow run of the
    experiment ``prune-audit``, by the name of the folder; its id.

    Parameters are the plan's settings; metrics the figures that were measured, by variant, metric and
    conditions, a step for each training seed; tags the verdict, the policy and the digest of the plan;
    artefacts ``files``. Raises IncompleteError where that fails: the run itself is kept.
    """
    needed()
    from mlflow.entities import Metric, Param, RunTag
    from mlflow.exceptions import MlflowException
    from mlflow.tracking import MlflowClient

    about = run.results.about
    tags = {
        "prune_audit.verdict": status.MARKS[run.verdicts.status].word,
        "prune_audit.policy": run.verdicts.policy.name,
        "prune_audit.plan_digest": str(about.get("plan_digest", "")),
        "mlflow.runName": folder.resolve().name,
    }
    try:
        client = MlflowClient(tracking_uri=uri)
        there = client.get_experiment_by_name("prune-audit")
        experiment = there.experiment_id if there else client.create_experiment("prune-audit")
        started = client.create_run(experiment).info
        parameters = [Param(key, value) for key, value in settings(about.get("plan", {}))]
        client.log_batch(
            started.run_id, params=parameters[:100], tags=[RunTag(key, value) for key, value in tags.items()]
        )
        for first in range(100, len(parameters), 100):
            client.log_batch(started.run_id, params=parameters[first : first + 100])
        metrics = [Metric(key, value, started.start_time, step) for key, value, step in figures(run)]
        for first in range(0, len(metrics), BATCH):
            client.log_batch(started.run_id, metrics=metrics[first : first + BATCH])
        for file in files:
            client.log_artifact(started.run_id, str(file))
        client.set_terminated(started.run_id)
    except (MlflowException, OSError) as error:
        raise IncompleteError(
            f"--mlflow {uri}: cannot be logged to: {str(error).splitlines()[0]}; the run is kept in "
            f"{folder}: mend that and say  prune-audit report {folder} --mlflow {uri}"
        ) from error
    return str(started.run_id)


def settings(plan: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, str]]:
    """The plan's values by their keys, ``train.epochs``; what is not said is left out."""
    for name, value in plan.items():
        key = f"{path}.{name}" if path else str(name)
        if isinstance(value, Mapping):
            yield from settings(value, key)
        elif value not in (None, "", [], ()):
            yield _named(key), str(value)[: LONGEST["parameter"]]


def figures(run: Judged) -> Iterator[tuple[str, float, int]]:
    """Name, value and training seed of every figure that was measured."""
    rows = run.results.measurements
    for row in rows[rows["status"] == "ok"].to_dict("records"):
        conditions = [f"{key}_{value}" for key, value in row["conditions"].items()]
        yield (
            _named("/".join([row["variant"], row["metric"], *conditions])),
            float(row["value"]),
            int(row["seed"]),
        )


def _named(name: str) -> str:
    """As MLflow takes it: letters, digits and a few marks; no path that leaves its place."""
    plain = re.sub(r"[^\w\-. /]", "_", name, flags=re.ASCII)
    return re.sub(r"(^|/)\.+(?=/|$)", r"\1_", plain).strip("/")[: LONGEST["key"]]
