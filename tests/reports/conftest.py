import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from reports.data.results import Results, read
from reports.gate.judge import Verdicts, judge
from reports.page.render import render


def _load(file: str) -> ModuleType:
    """A module beside this file, by path: test folders are not packages."""
    name = f"{file}_run"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, Path(__file__).parent / f"{file}.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return sys.modules[name]


_load("gate_lab")  # which tests import as gate_lab_run


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Results]:
    """Writes a run of the given rows, and reads it."""
    maker: Callable[..., Results] = _load("gate_lab").maker(tmp_path)
    return maker


@pytest.fixture(scope="session")
def synthetic() -> ModuleType:
    """The module that writes plausible runs."""
    return _load("synthetic")


@pytest.fixture(scope="session")
def runs() -> ModuleType:
    """The module that writes runs of a few chosen rows."""
    return _load("runs")


@pytest.fixture(scope="session")
def cases() -> ModuleType:
    """The module of runs that a page must hold for."""
    return _load("cases")


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory: pytest.TempPathFactory, synthetic: ModuleType) -> Path:
    """A run of 14 variants and 3 seeds with one failed probe."""
    return Path(synthetic.build(tmp_path_factory.mktemp("run"), broken=["layer-magnitude@0.9"]))


@pytest.fixture(scope="session")
def results(run_folder: Path) -> Results:
    return read(run_folder)


@pytest.fixture(scope="session")
def case_runs(
    tmp_path_factory: pytest.TempPathFactory, synthetic: ModuleType, cases: ModuleType
) -> dict[str, tuple[Path, Results, Verdicts]]:
    """Each case: its folder, its results, and what its policy says of them."""
    root = tmp_path_factory.mktemp("cases")
    found = {}
    for name, make in cases.CASES.items():
        folder = root / name.replace(" ", "-")
        folder.mkdir()
        policy = make(synthetic, folder)
        results = read(folder)
        found[name] = (folder, results, judge(results, policy, today=cases.DAY))
    return found


@pytest.fixture(scope="session")
def case_folders(case_runs: dict[str, tuple[Path, Results, Verdicts]]) -> dict[str, Path]:
    """The folder of each case, with its page; all rendered once."""
    for folder, results, verdicts in case_runs.values():
        (folder / "report.html").write_text(render(results, verdicts), encoding="utf-8")
    return {name: folder for name, (folder, _, _) in case_runs.items()}


@pytest.fixture(scope="session")
def pages(case_folders: dict[str, Path]) -> dict[str, str]:
    """The page of each case."""
    return {
        name: (folder / "report.html").read_text(encoding="utf-8") for name, folder in case_folders.items()
    }
