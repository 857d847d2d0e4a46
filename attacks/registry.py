"""Finds the probes: those in this package, and those that other packages offer by entry points."""

import importlib
import pkgutil
from importlib.metadata import entry_points
from importlib.util import find_spec

from pydantic import BaseModel

import attacks as package
from attacks._techniques import techniques
from attacks.probe import Card, Probe

GROUP = "prune_audit.probes"
"""Entry-point group: each entry names an object (as a rule a module) with CARD, Settings and run."""


class RegistryError(Exception):
    """A probe offered by another package cannot be used."""


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
    for entry in sorted(entry_points(group=GROUP), key=lambda e: e.name):
        try:
            offered = entry.load()
        except Exception as error:
            raise RegistryError(f"probe {entry.name!r} ({entry.value}) cannot be loaded: {error}") from error
        probe = _probe(entry.name, offered)
        if probe is None:
            raise RegistryError(f"probe {entry.name!r} ({entry.value}) must have CARD, Settings and run")
        if entry.name in found:
            raise RegistryError(f"probe {entry.name!r} ({entry.value}) takes a name that is in use")
        found[entry.name] = probe
    return found


def attacks() -> dict[str, str]:
    """Every attack of this package by family and name (``evasion.pgd``): the paper that it comes from."""
    found = {}
    for probe in probes():
        module = importlib.import_module(f"attacks.{probe}") if find_spec(f"attacks.{probe}") else None
        if module is not None and hasattr(module, "__path__"):
            for name, attack in techniques(module.__name__, object).items():
                found[f"{probe}.{name}"] = str(getattr(attack, "paper", ""))
    return found


def _probe(name: str, offered: object) -> Probe | None:
    """The probe that a module is, or None."""
    card, settings, run = (getattr(offered, key, None) for key in ("CARD", "Settings", "run"))
    if not (
        isinstance(card, Card)
        and isinstance(settings, type)
        and issubclass(settings, BaseModel)
        and callable(run)
    ):
        return None
    return Probe(name, card, settings, run)
