import importlib.metadata
import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from attacks import _techniques, accuracy, evasion, registry
from attacks._techniques import techniques
from attacks.evasion._attack import Batch, EvasionAttack
from attacks.evasion._settings import LEVELS, PACKAGE, attacks_of
from attacks.probe import Target
from attacks.registry import RegistryError, probes


def offer(
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    module: types.ModuleType | None,
    group: str = registry.PROBES,
    value: str = "somebody_elses",
) -> None:
    """Another package that offers a probe or an attack by an entry point."""
    if module is not None:
        monkeypatch.setitem(sys.modules, "somebody_elses", module)
    entry = importlib.metadata.EntryPoint(name, value, group)
    monkeypatch.setattr(_techniques, "entry_points", lambda group: [entry] if group == entry.group else [])


def like(source: object, *names: str) -> types.ModuleType:
    module = types.ModuleType("somebody_elses")
    for name in names:
        setattr(module, name, getattr(source, name))
    return module


def test_the_families_are_found_sorted():
    assert list(probes()) == ["accuracy", "evasion", "extraction", "membership", "tampering"]
    for name, probe in probes().items():
        assert probe.name == name
        assert probe.settings().model_dump() is not None


def test_another_packages_probe_joins(monkeypatch: pytest.MonkeyPatch):
    offer(monkeypatch, "weather", like(accuracy, "CARD", "Settings", "run"))
    assert list(probes()) == ["accuracy", "evasion", "extraction", "membership", "tampering", "weather"]
    assert probes()["weather"].run is accuracy.run


@pytest.mark.parametrize(
    ("name", "module", "message"),
    [
        ("evasion", like(accuracy, "CARD", "Settings", "run"), "takes a name that is in use"),
        ("weather", types.ModuleType("somebody_elses"), "must have CARD, Settings and run"),
        ("weather", None, "cannot be loaded"),
    ],
)
def test_a_bad_plugin_is_named(
    monkeypatch: pytest.MonkeyPatch, name: str, module: types.ModuleType | None, message: str
):
    offer(monkeypatch, name, module)
    with pytest.raises(RegistryError, match=message) as error:
        probes()
    assert name in str(error.value)


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    def make(name: str, **modules: str) -> str:
        folder = tmp_path / name
        folder.mkdir()
        (folder / "__init__.py").write_text("")
        for module, text in modules.items():
            (folder / f"{module}.py").write_text(text)
        monkeypatch.syspath_prepend(str(tmp_path))
        return name

    return make


IMPORT = "from attacks.evasion._attack import EvasionAttack\n"
TECHNIQUE = IMPORT + "ATTACK = EvasionAttack(lambda batch, settings: batch.x, 'each', 'nobody')\n"


def test_one_new_file_is_one_new_attack(package: Callable[..., str]):
    name = package("family_one", zeta=TECHNIQUE, alpha=TECHNIQUE, plumbing="X = 1\n", _hidden=TECHNIQUE)
    found = techniques(name, EvasionAttack)
    assert list(found) == ["alpha", "zeta"]
    assert found["alpha"].paper == "nobody"


def test_a_constant_of_another_type_is_an_error(package: Callable[..., str]):
    name = package("family_two", alpha="ATTACK = 5\n")
    with pytest.raises(TypeError, match="family_two.alpha.ATTACK is a int, not a EvasionAttack"):
        techniques(name, EvasionAttack)


def test_art_is_not_imported_before_it_is_needed():
    """Listing probes must stay quick: ART alone takes seconds to import."""
    code = "import sys, attacks.registry as r; r.probes(); sys.exit('art' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# Attacks of other packages

EVASION = "prune_audit.attacks.evasion"


def corner(batch: Batch, settings: object) -> Tensor:
    """Every input value to the far side of its ball."""
    del settings
    return batch.ball.project(batch.x + 10, batch.x, batch.eps, batch.bounds)


def theirs(attack: object) -> types.ModuleType:
    module = types.ModuleType("somebody_elses")
    module.ATTACK, module.__file__ = attack, __file__  # type: ignore[attr-defined]
    return module


CORNER = EvasionAttack(corner, "each", "Somebody 2026", level="standard", cost=7)


@pytest.mark.parametrize("value", ["somebody_elses", "somebody_elses:ATTACK"])
def test_another_packages_attack_joins_with_its_level(
    monkeypatch: pytest.MonkeyPatch, value: str, target: Target
):
    before = {level: attacks_of(level) for level in LEVELS}
    offer(monkeypatch, "corner", theirs(CORNER), EVASION, value)
    assert techniques(PACKAGE, EvasionAttack)["corner"] is CORNER
    assert attacks_of("quick") == before["quick"]
    assert attacks_of("standard") == ("fgsm", "corner", *before["standard"][1:])  # by its cost
    assert registry.attacks()["evasion.corner"] == "Somebody 2026"
    assert registry.plugins() == {f"{EVASION} 'corner' ({value})": Path(__file__)}
    rows = evasion.run(
        target, evasion.Settings(level="quick", attacks=("corner",), eps=(0.5,)), torch.Generator()
    )
    assert {row.at.get("attack") for row in rows} >= {"corner", "worst_case"}


@pytest.mark.parametrize(
    ("name", "module", "message"),
    [
        ("pgd", theirs(CORNER), "takes a name that is in use"),
        ("worst_case", theirs(CORNER), "takes a name that is in use"),
        ("art:Mine", theirs(CORNER), "one word"),
        ("mine", theirs(5), "not a int"),
        ("mine", types.ModuleType("somebody_elses"), "not a NoneType"),
        ("mine", None, "cannot be loaded: ModuleNotFoundError"),
    ],
)
def test_a_bad_attack_of_another_package_is_named(
    monkeypatch: pytest.MonkeyPatch, name: str, module: types.ModuleType | None, message: str
):
    offer(monkeypatch, name, module, EVASION)
    with pytest.raises(RegistryError, match=message) as error:
        techniques(PACKAGE, EvasionAttack)
    assert name in str(error.value)
    with pytest.raises(ValueError, match=message):  # so that a plan says so, with its file and key
        evasion.Settings()
