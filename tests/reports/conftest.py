import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from reports.results import Results, read


def _load() -> ModuleType:
    """The synthetic run's module, by path: test folders are not packages."""
    if "synthetic_run" not in sys.modules:
        spec = importlib.util.spec_from_file_location("synthetic_run", Path(__file__).parent / "synthetic.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules["synthetic_run"] = module
        spec.loader.exec_module(module)
    return sys.modules["synthetic_run"]


@pytest.fixture(scope="session")
def synthetic() -> ModuleType:
    """The module that writes plausible runs."""
    return _load()


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory: pytest.TempPathFactory, synthetic: ModuleType) -> Path:
    """A run of 14 variants and 3 seeds with one failed probe."""
    return Path(synthetic.build(tmp_path_factory.mktemp("run"), broken=["layer-magnitude@0.9"]))


@pytest.fixture(scope="session")
def results(run_folder: Path) -> Results:
    return read(run_folder)
