"""The zoo's tables: what evasion says of models that mislead attacks, and of honest ones.

    python benchmarks/masking.py [NAME …]
    python benchmarks/masking.py --write docs/evasion.md

Prints Markdown; ``--write`` also puts both tables between the document's markers. Truth is the robust
accuracy of the network behind the mask, at the larger of the zoo's ε. Exits with 1 if a masker is not
flagged, a cured figure is neither within a point of the truth nor in doubt, one lies above the uncured
figure, or an honest model is flagged.
"""

import argparse
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from attacks._document import filled

ZOO = Path(__file__).resolve().parent.parent / "tests" / "attacks" / "zoo.py"
POINT = 0.0101
RANDOM = "random"
HEAD = "| model | truth | `fgsm`, `pgd` | cured | in doubt | flags |\n|---|---|---|---|---|---|"
BEGIN = "<!-- made by: python benchmarks/masking.py --write docs/evasion.md ({}) -->"
"""The marker of each table."""


def loaded() -> ModuleType:
    """The zoo, which lives beside its tests."""
    spec = importlib.util.spec_from_file_location("zoo", ZOO)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["zoo"] = module
    spec.loader.exec_module(module)
    return module


def sound(found: Any, truth: tuple[float, ...]) -> bool:
    """Whether a masker's figures are what they should be."""
    cured = found.cured or found.worst
    near = all(have <= true + POINT for have, true in zip(cured, truth, strict=True))
    never_above = all(have <= was for have, was in zip(cured, found.plain, strict=True))
    return bool(found.flags) and never_above and (near or found.doubt)


def line(name: str, found: Any, truth: str) -> str:
    """One row of the table."""
    cured = f"{found.cured[-1]:.2f}" if found.cured else ""
    doubt = "not measured soundly" if found.doubt else ""
    flags = ", ".join(f"`{flag}`" for flag in sorted(found.flags - {"uncured"}))
    return f"| {name} | {truth} | {found.plain[-1]:.2f} | {cured} | {doubt} | {flags} |"


def main() -> None:
    """Attack every model of the zoo, or those named."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="of models (all)")
    parser.add_argument("--write", type=Path, metavar="DOCUMENT", help="put both tables into it")
    options = parser.parse_args()
    zoo_of = loaded()
    zoo = zoo_of.zoo()
    wrong: list[str] = []
    plain: tuple[float, ...] = ()
    maskers = {**zoo.masked, **zoo.held_out}
    groups = {"the zoo": [*zoo.masked, *zoo.honest], "held out": list(zoo.held_out)}
    known = [name for names in groups.values() for name in names]
    if unknown := [name for name in options.names if name not in known]:
        parser.error(f"the zoo has no {unknown[0]!r}; it has: {', '.join(known)}")
    if options.names and options.write:
        parser.error("--write needs the whole zoo: name no models")
    tables = {}
    for group, names in groups.items():
        rows = [HEAD]
        print(f"\n{HEAD}")
        for name in names:
            if options.names and name not in options.names:
                continue
            masker = name in maskers
            found = zoo_of.attacked(maskers[name] if masker else zoo.honest[name]())
            rows.append(line(name, found, f"{zoo.truth[-1]:.2f}" if masker else ""))
            print(rows[-1], flush=True)
            right = (
                sound(found, zoo.truth) if masker else (found.doubt if name == RANDOM else not found.flags)
            )
            if (
                name in zoo.held_out and not found.flags
            ):  # no worse than what the level makes of the bare network
                plain = plain or zoo_of.attacked(zoo.honest["plain"]()).worst
                right = all(have <= told + 3 * POINT for have, told in zip(found.worst, plain, strict=True))
            if not right:
                wrong.append(name)
        tables[group] = "\n".join(rows)
    if options.write:
        text = options.write.read_text(encoding="utf-8")
        for group, table in tables.items():
            text = filled(text, BEGIN.format(group), table)
        options.write.write_text(text, encoding="utf-8")
    if wrong:
        print(f"\nNot as they should be: {', '.join(wrong)}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
