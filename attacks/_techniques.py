"""Finds a family's techniques: one file each, named in plan and report as the file is; and those that other
packages offer by entry points."""

import importlib
import importlib.metadata
import pkgutil
from collections.abc import Iterator
from functools import cache
from types import ModuleType
from typing import TypeVar

T = TypeVar("T")

CONSTANT = "ATTACK"
"""The module-level constant that makes a module a technique."""

GROUP = "prune_audit."
"""What entry-point groups begin with; a family's is this and its package: ``prune_audit.attacks.evasion``."""

RESERVED = frozenset(("adaptive", "cured", "transfer", "union", "worst_case"))
"""Names of rows that are no technique of their own: none may take them."""


class RegistryError(ValueError):
    """What another package offers cannot be used."""


@cache
def entry_points(group: str) -> importlib.metadata.EntryPoints:
    """Those of a group. Reading what is installed takes as long as an attack's step, and is done once."""
    return importlib.metadata.entry_points(group=group)


def offers(group: str, what: str) -> Iterator[tuple[str, str, object]]:
    """(name, words that name the offer in an error, object) of every entry point of a group, by name.

    Raises RegistryError where one cannot be loaded.
    """
    for entry in sorted(entry_points(group=group), key=lambda e: e.name):
        label = f"{what} {entry.name!r} ({entry.value})"
        try:
            offered = entry.load()
        except Exception as error:  # a foreign module can raise anything
            raise RegistryError(f"{label} cannot be loaded: {type(error).__name__}: {error}") from error
        yield entry.name, label, offered


def techniques(package: str, kind: type[T]) -> dict[str, T]:
    """Every technique of a family, by name, sorted.

    A technique of ours is a module directly in ``package`` whose name has no leading underscore and whose
    constant :data:`CONSTANT` is a ``kind``; its name is the module's. One of another package is an entry
    point of the group ``prune_audit.PACKAGE`` that names such a module, or a ``kind`` itself; its name is the
    entry's. Raises TypeError if our constant is of another type, RegistryError if another package's offer is,
    or takes a name in use.
    """
    found: dict[str, T] = {}
    for info in pkgutil.iter_modules(importlib.import_module(package).__path__):
        if info.name.startswith("_"):
            continue
        module = importlib.import_module(f"{package}.{info.name}")
        attack = getattr(module, CONSTANT, None)
        if attack is None:
            continue
        if not isinstance(attack, kind):
            raise TypeError(
                f"{module.__name__}.{CONSTANT} is a {type(attack).__name__}, not a {kind.__name__}"
            )
        found[info.name] = attack
    for name, label, offered in offers(GROUP + package, "attack"):
        attack = getattr(offered, CONSTANT, None) if isinstance(offered, ModuleType) else offered
        if not isinstance(attack, kind) or attack is None:
            raise RegistryError(
                f"{label} must be a {kind.__name__}, or a module whose {CONSTANT} is one, "
                f"not a {type(attack).__name__}"
            )
        if name in found or name in RESERVED:
            raise RegistryError(f"{label} takes a name that is in use")
        if not name.isidentifier():
            raise RegistryError(f"{label}: its name must be one word of letters, digits and underscores")
        found[name] = attack
    return dict(sorted(found.items()))


def chosen(names: tuple[str, ...], package: str, kind: type[object]) -> tuple[str, ...]:
    """The names, if each is a technique of the family and none comes twice; else raises ValueError."""
    known = techniques(package, kind)
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ValueError(f"no such attack: {', '.join(unknown)}; there are: {', '.join(known)}")
    if not names:
        raise ValueError(f"name at least one attack of: {', '.join(known)}")
    if len(set(names)) < len(names):
        raise ValueError("an attack is named twice")
    return names
