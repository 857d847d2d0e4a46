"""The units that measure a model: one for each probe, after its pieces where it is cut."""

import importlib.util
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from attacks.probe import Probe, Sizes
from attacks.registry import probes
from audit.cutting import Cutting
from audit.plan import Plan
from audit.unit import Company, Namer, Unit, file_digest

UNKNOWN = 50.0
"""Passes for each audit example, in order of magnitude, of a probe that does not say."""


@dataclass(frozen=True, slots=True)
class Cuts:
    """Of one probe: its examples (0: it is not told), and the ranges they are cut into."""

    examples: int
    block: int
    ranges: list[range]
    passes: float
    """Of one example."""
    joining: float = 0.0
    """Passes that the join takes."""

    @property
    def pieces(self) -> list[range]:
        """None where the probe is done whole."""
        return self.ranges if len(self.ranges) > 1 else []


def cuts(plan: Plan, sizes: Sizes, cutting: Cutting) -> dict[str, Cuts]:
    """Of every probe of the plan."""
    return {
        name: _cut(probe, plan.settings[name], sizes, cutting)
        for name, probe in probes().items()
        if name in plan.probes
    }


def _cut(probe: Probe, settings: Any, sizes: Sizes, cutting: Cutting) -> Cuts:
    if probe.cut is None:
        return Cuts(sizes.test, 0, [], UNKNOWN)
    examples, passes = probe.cut.examples(sizes, settings), probe.cut.passes(settings)
    joining = probe.cut.joining(settings)
    if not examples:
        return Cuts(sizes.test, 0, [], passes, joining)
    return Cuts(examples, cutting.block(passes), cutting.shards(examples, passes), passes, joining)


def units(
    plan: Plan,
    namer: Namer,
    probe: str,
    model: Unit,
    sources: list[Unit],
    shifts: Mapping[str, list[Unit]],
    cut: Cuts,
    company: Company,
) -> Iterator[Unit]:
    """The unit that measures one model by one probe, after its pieces. What it finds does not depend on them,
    so its name does not either. ``shifts``: by variant in ``sources``, the units that find what fools it."""
    settings = plan.probes[probe]
    what = {
        "probe": probe,
        "settings": settings,
        "block": cut.block,
        "sources": [source.id for source in sources],
        **(_evasion(plan, settings) if probe == "evasion" else {}),
        **(_code(plan, "trigger", settings) if probe == "tampering" else {}),
    }
    names = tuple(source.variant for source in sources)
    pieces = []
    for place, some in enumerate(cut.pieces):
        piece = namer.unit(
            "piece", model.variant, model.replicate, {**what, "examples": [some.start, some.stop]}, (model,),
            tuple(shifts[name][place] for name in names), probe=probe, sources=names,
            first=some.start, stop=some.stop, block=cut.block, examples=len(some),
            passes=cut.passes * len(some),
        )  # fmt: skip
        pieces.append(replace(piece, seed=namer.seed("probe", model.replicate, what)))
    yield from pieces
    fooling = () if pieces else tuple(unit for name in names for unit in shifts[name])
    yield replace(
        namer.unit(
            "probe", model.variant, model.replicate, what, (model,), (*fooling, *pieces),
            company, probe=probe, of=(model.variant,), sources=() if pieces else names, block=cut.block,
            pieces=len(pieces), examples=0 if pieces else cut.examples,
            passes=cut.joining + (0 if pieces else cut.passes * cut.examples),
        ),
        seed=namer.seed("probe", model.replicate, what),
    )  # fmt: skip


def perturbations(
    plan: Plan, namer: Namer, models: list[Unit], cuts: Mapping[str, Cuts]
) -> dict[str, list[Unit]]:
    """By model's id, the units that perturb the audit examples for it, one for each piece of evasion; empty
    if the plan does not ask for transfer."""
    settings = plan.probes.get("evasion", {})
    if not settings.get("transfer"):
        return {}
    cut = cuts["evasion"]
    balls = {key: settings[key] for key in ("norms", "eps")} | _evasion(plan, {}) | {"block": cut.block}
    return {
        model.id: [
            namer.unit(
                "perturbations", model.variant, model.replicate,
                {**balls, "examples": [some.start, some.stop]}, (model,), probe="perturbations",
                first=some.start, stop=some.stop, block=cut.block, examples=len(some),
                passes=60.0 * len(some),
            )
            for some in cut.pieces or [range(cut.examples)]
        ]
        for model in models
    }  # fmt: skip


def _evasion(plan: Plan, settings: Mapping[str, Any]) -> dict[str, Any]:
    """What else determines evasion: the digest of the user's own attack, and what features may be."""
    features = plan.data.features
    said = {} if features is None else {"features": features.model_dump(mode="json")}
    return {**_code(plan, "adaptive", settings), **said}


def _code(plan: Plan, key: str, settings: Mapping[str, Any]) -> dict[str, str]:
    """The digest of the user's own code, or data, that a key names."""
    spec = settings.get(key)
    if not isinstance(spec, str):
        return {}
    source, function, _ = spec.partition(":")
    if function and not source.endswith(".py"):
        found = importlib.util.find_spec(source)
        source = found.origin if found and found.origin else source
    path = plan.folder / source
    return {key: file_digest(path) if path.is_file() else source}
