"""Units as tasks of a Ray cluster: on one machine or many, without a folder that they share.

A task is sent what its unit needs of the run's folder (models, scores, references, each put once in the
cluster's object store), works in a folder of its own, and sends back what it left; only this process writes
the run's folder. What the plan names of the user's own code, weights and other files travels too.
prune-audit must be installed on every node, in the same version: a node with another refuses.
"""

import importlib.util
import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from audit import references, scores
from audit.engine import WorkerDied
from audit.errors import IncompleteError, PlanError
from audit.plan import Plan, WeightsPlan
from audit.subject import black_box
from audit.unit import Unit, code_version
from audit.work import Context, Given, Result, model_file, perform, perturbations_file
from pruning.modes import one_thread

LOSSES = 3
"""How often a task that was lost with its node or its worker is sent anew, before it is tried alone."""
SMALL, TOGETHER = 2**20, 64 * 2**20
"""Bytes of a file beside the plan that travels with it, beside its Python files, and of all of them."""
FRESH = 5.0
"""Seconds that the cluster's size is believed."""

Files = dict[str, bytes]


class Cluster:
    """A Ray cluster: the one at ``address``, or one of ``jobs`` processors started on this machine.

    Raises PlanError if Ray is not installed, or there is no cluster at the address.
    """

    shares_fate = False

    def __init__(self, context: Context, jobs: int | None, *, address: str | None, memory: int) -> None:
        """``memory``: bytes that a task needs."""
        self._ray = ray = _ray()
        self._context, self._jobs = context, jobs
        started = {"address": address} if address else {"num_cpus": jobs, "include_dashboard": False}
        try:
            ray.init(**started, log_to_driver=False, logging_level="error")
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise PlanError(
                f"--address {address}: no Ray cluster answers there: {error}; start one with "
                "`ray start --head`, or leave --address out for one on this machine"
                if address
                else f"--engine ray: Ray does not start on this machine: {error}"
            ) from None
        self._resource = "GPU" if context.device.startswith("cuda") else "CPU"
        largest = max((n["Resources"].get("memory", 0) for n in ray.nodes() if n["Alive"]), default=0)
        self._counted, self._slots = 0.0, 0
        self._shared = ray.put(_Baggage.of(context))
        self._task = ray.remote(
            num_cpus=1,
            num_gpus=int(self._resource == "GPU"),
            memory=int(min(memory, largest)),
            max_retries=LOSSES,
            retry_exceptions=False,
        )(_work)
        self._put: dict[str, Any] = {}
        self._flying: dict[Future[Result], Any] = {}

    @property
    def slots(self) -> int:
        """Tasks at a time: the processors (or GPUs) that the cluster has now; ``jobs`` bounds them."""
        if time.monotonic() - self._counted > FRESH:
            found = int(self._ray.cluster_resources().get(self._resource, 0))
            self._slots = max(1, min(found, self._jobs or found))
            self._counted = time.monotonic()
        return self._slots

    def submit(self, unit: Unit, given: Given) -> Future[Result]:
        """Send a unit; one that is timed is done here, on the machine that the report tells of."""
        future: Future[Result] = Future()
        if unit.alone:
            with one_thread():
                future.set_result(perform(unit, given, self._context))
            return future
        out = self._context.out
        wanted = {name: self._reference(name) for name in left(out, *unit.parents, *unit.company.units)}
        reference = self._task.remote(unit, given, wanted, [self._shared])
        self._flying[future] = reference
        reference.future().add_done_callback(partial(self._landed, future))
        return future

    def restart(self) -> None:
        """Ray brings workers back itself."""

    def close(self, *, at_once: bool = False) -> None:
        """Leave the cluster; one that we started ends. Tasks in flight are lost, and have written nothing."""
        if at_once:
            for reference in list(self._flying.values()):
                with suppress(Exception):
                    self._ray.cancel(reference, force=True)
        self._ray.shutdown()

    def _reference(self, name: str) -> Any:
        if name not in self._put:
            self._put[name] = self._ray.put((self._context.out / name).read_bytes())
        return self._put[name]

    def _landed(self, future: Future[Result], answer: "Future[tuple[Result, Files]]") -> None:
        """Keep what a task left; runs in a thread of Ray's."""
        lost = self._ray.exceptions
        try:
            result, files = answer.result()
            for name, content in files.items():
                _write(self._context.out / name, content)
        except lost.RayTaskError as error:
            future.set_exception(error.cause or error)
        except (
            lost.RayError
        ) as error:  # worker, node or object lost, or out of memory, more than LOSSES times
            future.set_exception(WorkerDied(str(error)))
        except BaseException as error:
            future.set_exception(error)
        else:
            future.set_result(result)
        finally:
            self._flying.pop(future, None)


def _ray() -> Any:
    if importlib.util.find_spec("ray") is None:
        raise PlanError("--engine ray: Ray is not installed; pip install 'prune-audit[ray]'")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # no request to anybody
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    import ray

    return ray


def left(out: Path, *units: str) -> Iterator[str]:
    """The files that units left in the run's folder, by names that start there."""
    for unit in units:
        for path in (
            model_file(out, unit),
            scores.file(out, unit),
            perturbations_file(out, unit),
            references.file(out, unit),
            references.model_file(out, unit),
        ):
            if path.is_file():
                yield path.relative_to(out).as_posix()


@dataclass(frozen=True, slots=True)
class _Baggage:
    """What every task needs: the context, and what of the plan's folder and weights must travel with it."""

    context: Context
    code: str
    beside: Mapping[str, bytes]
    """Files of the plan's folder, by their names in it."""
    named: Mapping[Path, bytes]
    """Other files that the plan names, by their paths here."""

    @classmethod
    def of(cls, context: Context) -> "_Baggage":
        plan = context.plan
        named = {path.absolute(): path.read_bytes() for path in _named(plan)}
        return cls(context, code_version(), dict(_beside(plan, context.out)), named)

    def unpacked(self, folder: Path) -> Context:
        """The context of a task that works in ``folder``."""
        home = folder / "plan"
        home.mkdir()
        for name, content in self.beside.items():
            _write(home / name, content)
        moved: dict[Path, Path] = {}
        for path, content in self.named.items():  # those of one folder stay together
            moved.setdefault(path.parent, folder / "named" / str(len(moved)))
            moved[path] = moved[path.parent] / path.name
            _write(moved[path], content)
        plan = _rehomed(self.context.plan, home, moved)
        return replace(self.context, plan=plan, out=folder)


def _named(plan: Plan) -> Iterator[Path]:
    """Files that a plan names beside its data and its code: weights, programs, what describes an ``hf:``
    model, a trigger."""
    for spec in (plan.model.weights, *(variant.weights for variant in plan.variant)):
        if spec is not None:
            yield plan.path(spec.file)
    kind, _, name = plan.model.build.partition(":")
    if plan.model.black_box:
        yield from black_box.files(plan.path(Path(name)))
    elif kind == "hf":
        yield from sorted(plan.path(Path(name)).glob("*.json"))
    trigger = _trigger(plan)
    if trigger and ":" not in trigger:
        yield plan.path(Path(trigger))


def _rehomed(plan: Plan, home: Path, moved: Mapping[Path, Path]) -> Plan:
    """The plan, in the folder ``home``, naming its files by where they have been moved to."""

    def there(name: str | Path) -> Path:
        return moved[plan.path(Path(name)).absolute()]

    def weights(spec: WeightsPlan) -> WeightsPlan:
        return spec.model_copy(update={"file": there(spec.file)})

    model, probes = plan.model, dict(plan.probes)
    kind, _, name = model.build.partition(":")
    if model.weights is not None:
        model = model.model_copy(update={"weights": weights(model.weights)})
    if model.black_box or kind == "hf":
        model = model.model_copy(update={"build": f"{kind}:{there(name)}"})
    trigger = _trigger(plan)
    if trigger and ":" not in trigger:
        probes["tampering"] = {**probes["tampering"], "trigger": str(there(trigger))}
    variants = tuple(v.model_copy(update={"weights": weights(v.weights)}) for v in plan.variant)
    return plan.model_copy(update={"folder": home, "model": model, "variant": variants, "probes": probes})


def _trigger(plan: Plan) -> str:
    return plan.probes.get("tampering", {}).get("trigger") or ""


def _beside(plan: Plan, out: Path) -> Iterator[tuple[str, bytes]]:
    """Python files of the plan's folder, and small files, for the user's own code: what is not hidden, not a
    run's, and not more than :data:`TOGETHER`. None where the plan names no file of code."""
    specs = [plan.model.build, plan.probes.get("evasion", {}).get("adaptive") or "", _trigger(plan)]
    specs += [variant.build or "" for variant in plan.variant]
    specs += [(plan.train and plan.train.fit) or ""]
    if not any(spec.partition(":")[0].endswith(".py") for spec in specs):
        return
    total = 0
    for path in sorted(plan.folder.resolve().rglob("*")):
        name = path.relative_to(plan.folder.resolve())
        inside = any(part.startswith((".", "__pycache__")) for part in name.parts)
        if inside or path.is_relative_to(out.resolve()) or not path.is_file():
            continue
        size = path.stat().st_size
        if (path.suffix == ".py" or size <= SMALL) and total + size <= TOGETHER:
            total += size
            yield name.as_posix(), path.read_bytes()


_held: list[tuple[str, _Baggage]] = []
"""In a worker: the last baggage, so that data are read once a worker, not once a task."""


def _work(unit: Unit, given: Given, wanted: Mapping[str, Any], shared: list[Any]) -> tuple[Result, Files]:
    """Runs on a node. ``shared`` and ``wanted`` hold references, which Ray does not look into."""
    import ray

    token = shared[0].hex()
    if not _held or _held[0][0] != token:
        _held[:] = [(token, ray.get(shared[0]))]
    baggage = _held[0][1]
    if code_version() != baggage.code:
        raise IncompleteError(
            f"node {os.uname().nodename}: another version of prune-audit, of torch or of a plugin "
            "is installed there than here; install the same on every node"
        )
    with tempfile.TemporaryDirectory(prefix="prune-audit-") as scratch, one_thread():
        folder = Path(scratch)
        for name, content in zip(wanted, ray.get(list(wanted.values())), strict=True):
            _write(folder / name, content)
        (folder / "models").mkdir(exist_ok=True)
        result = perform(unit, given, baggage.unpacked(folder))
        return result, {name: (folder / name).read_bytes() for name in left(folder, unit.id)}


def _write(path: Path, content: bytes) -> None:
    """Whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    half.write_bytes(content)
    half.replace(path)
