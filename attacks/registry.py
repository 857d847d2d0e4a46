"""Finds the probes: those in this package, and those that other packages offer by entry points."""

import importlib
import inspect
import pkgutil
from pathlib import Path
from types import ModuleType

from pydantic import BaseModel

import attacks as package
from attacks._techniques import GROUP, RegistryError, offers, techniques
from attacks.probe import Card, Cut, Probe

__all__ = ["PROBES", "RegistryError", "attacks", "plugins", "probes"]

PROBES = GROUP + "probes"
"""Entry-point group: each entry names an object (as a rule a module) with CARD, Settings and run."""


def probes() -> dict[str, Probe]:
    """Every probe by name, sorted: modules and packages directly in ``attacks``, then entry points.

    Raises RegistryError if a third-party probe cannot be loaded, is no probe or takes a name in use.
    """
    found: dict[str, Probe] = {}
    for info in sorted(pkgutil.iter_modules(package.__path__), key=lambda i: i.name):
        if info.name.startswith("_"):
            continue
        probe = _probe(info.name, importlib.import_module(f"attacks.{info.name}"))
        if probe is not None:
            found[info.name] = probe
    for name, label, offered in offers(PROBES, "probe"):
        probe = _probe(name, offered)
        if probe is None:
            raise RegistryError(f"{label} must have CARD, Settings and run")
        if name in found:
            raise RegistryError(f"{label} takes a name that is in use")
        found[name] = probe
    return found


def attacks() -> dict[str, str]:
    """Every attack by family and name (``evasion.pgd``): the paper that it comes from."""
    return {
        f"{family}.{name}": str(getattr(attack, "paper", ""))
        for family, folder in _families().items()
        for name, attack in techniques(folder, object).items()
    }


def plugins() -> dict[str, Path | None]:
    """Every probe and attack of another package, and the file that holds its code where there is one."""
    found: dict[str, Path | None] = {}
    for group in (PROBES, *(GROUP + family for family in _families().values())):
        for _, label, offered in offers(group, group):
            code = offered if isinstance(offered, ModuleType) else getattr(offered, "run", offered)
            file = getattr(inspect.getmodule(code), "__file__", None)
            found[label] = Path(file) if file else None
    return found


def _families() -> dict[str, str]:
    """The probes of this package that have techniques, by name: their packages."""
    names = [info.name for info in pkgutil.iter_modules(package.__path__) if info.ispkg]
    return {name: f"{package.__name__}.{name}" for name in sorted(names) if not name.startswith("_")}


def _probe(name: str, offered: object) -> Probe | None:
    """The probe that a module is, or None."""
    card, settings, run, cut = (getattr(offered, key, None) for key in ("CARD", "Settings", "run", "CUT"))
    if not (
        isinstance(card, Card)
        and isinstance(settings, type)
        and issubclass(settings, BaseModel)
        and callable(run)
    ):
        return None
    return Probe(name, card, settings, run, cut if isinstance(cut, Cut) else None)
