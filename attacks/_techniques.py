"""Finds a family's techniques: one file each, named in plan and report as the file is."""

import importlib
import pkgutil
from typing import TypeVar

T = TypeVar("T")

CONSTANT = "ATTACK"
"""The module-level constant that makes a module a technique."""


def techniques(package: str, kind: type[T]) -> dict[str, T]:
    """Every technique of a family, by module name, sorted.

    A technique is a module directly in ``package`` whose name has no leading underscore and whose constant
    :data:`CONSTANT` is a ``kind``. Raises TypeError if the constant is of another type.
    """
    found: dict[str, T] = {}
    for info in sorted(pkgutil.iter_modules(importlib.import_module(package).__path__), key=lambda i: i.name):
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
    return found


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
