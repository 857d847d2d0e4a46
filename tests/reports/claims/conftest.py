import importlib.util
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType, ModuleType

import pytest

from reports.claims import Study
from reports.data.results import Results, read

BENCHMARKS = Path(__file__).parents[3] / "benchmarks"
RECIPES = {
    "global-magnitude": {"criterion": "magnitude", "granularity": "weight", "allocation": "global"},
    "layer-magnitude": {"criterion": "magnitude", "granularity": "weight", "allocation": "layerwise"},
    "filter-l2": {"criterion": "magnitude", "granularity": "unit", "allocation": "global", "norm": "l2"},
}


@pytest.fixture(scope="session")
def known() -> Iterator[ModuleType]:
    """Studies whose truth is known: beside the benchmark that uses them, which is no package."""
    sys.path.insert(0, str(BENCHMARKS))
    try:
        yield importlib.import_module("known_claims")
    finally:
        sys.path.remove(str(BENCHMARKS))


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Results]:
    """Writes a plausible run with the recipes of its methods, and reads it."""
    path = Path(__file__).parents[1] / "synthetic.py"
    spec = importlib.util.spec_from_file_location("synthetic_for_claims", path)
    assert spec is not None
    assert spec.loader is not None
    synthetic = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(synthetic)

    def write(**more: object) -> Results:
        facts = {"recipes": RECIPES} | dict(more.pop("facts", {}))  # type: ignore[call-overload]
        folder = tmp_path_factory.mktemp("claims")
        return read(synthetic.build(folder, facts=facts, **more))

    return write


@pytest.fixture(scope="session")
def demo(written: Callable[..., Results]) -> Study:
    """A run of three methods at four sparsities with three seeds."""
    return Study("demo", "digits", "digits-cnn", "none", written())


@pytest.fixture(scope="session")
def without() -> Callable[..., Results]:
    """The same run without the rows of some metrics."""

    def drop(results: Results, *metrics: str) -> Results:
        kept = {name: rows for name, rows in results.by_metric.items() if name not in metrics}
        rows = results.measurements[~results.measurements["metric"].isin(metrics)]
        return replace(results, measurements=rows, by_metric=MappingProxyType(kept))

    return drop
