"""The units that measure a model: one for each probe, after its pieces where it is cut."""

import importlib.util
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from attacks.probe import Probe, Sizes, Stage
from attacks.registry import probes
from audit.cutting import Cutting
from audit.plan import Plan
from audit.unit import Company, Namer, Unit, file_digest

UNKNOWN = 50.0
"""Passes for each audit example, in order of magnitude, of a probe that does not say."""


@dataclass(frozen=True, slots=True)
class StageCut:
    """How one stage of a probe is cut."""

    name: str
    examples: int
    block: int
    ranges: list[range]
    passes: float
    """Of one example; 0 where it is not to be expected that there is anything to do."""


@dataclass(frozen=True, slots=True)
class Cuts:
    """Of one probe: what its stages are cut into; no stages: it does not tell."""

    examples: int
    """That are gone through, for progress."""
    stages: tuple[StageCut, ...]
    passes: float
    """Of all of it."""

    @property
    def pieces(self) -> tuple[StageCut, ...]:
        """The stages, if one of them is cut; none where the probe is done whole."""
        return self.stages if any(len(stage.ranges) > 1 for stage in self.stages) else ()

    @property
    def blocks(self) -> tuple[int, ...]:
        """Of each stage."""
        return tuple(stage.block for stage in self.stages)


def cuts(plan: Plan, sizes: Sizes, cutting: Cutting) -> dict[str, Cuts]:
    """Of every probe of the plan."""
    return {
        name: _cut(probe, plan.settings[name], sizes, cutting)
        for name, probe in probes().items()
        if name in plan.probes
    }


def _cut(probe: Probe, settings: Any, sizes: Sizes, cutting: Cutting) -> Cuts:
    if probe.cut is None:
        return Cuts(sizes.test, (), UNKNOWN * sizes.test)
    stages = [_stage(stage, settings, sizes, cutting) for stage in probe.cut.stages]
    whole = [stage for stage in stages if not stage.examples]
    passes = sum(stage.passes * (stage.examples or sizes.test) for stage in stages)
    return Cuts(stages[0].examples or sizes.test, () if whole else tuple(stages), passes)


def _stage(stage: Stage, settings: Any, sizes: Sizes, cutting: Cutting) -> StageCut:
    examples, passes = stage.examples(sizes, settings), stage.passes(settings)
    ranges, told = cutting.shards(examples, passes), 0.0 if stage.rare else passes
    return StageCut(stage.name, examples, cutting.block(passes), ranges, told)


def units(
    plan: Plan,
    namer: Namer,
    probe: str,
    model: Unit,
    sources: list[Unit],
    shifts: Mapping[str, list[Unit]],
    cut: Cuts,
    company: Company,
    twins: tuple[Unit, ...] = (),
) -> Iterator[Unit]:
    """The unit that measures one model by one probe, after its pieces. What it finds does not depend on them,
    so its name does not either. ``shifts``: by variant in ``sources``, the units that find what fools it.
    ``twins``: the dense model, where the probe is handed it."""
    settings = plan.probes[probe]
    what = {
        "probe": probe,
        "settings": settings,
        "blocks": cut.blocks,
        "sources": [source.id for source in sources],
        **(_evasion(plan, settings) if probe == "evasion" else {}),
        **(_code(plan, "trigger", settings) if probe == "tampering" else {}),
    }
    seed = namer.seed("probe", model.replicate, what)
    names = tuple(source.variant for source in sources)
    models = (model, *twins)
    pieces: list[Unit] = []
    counts: tuple[int, ...] = ()
    for number, stage in enumerate(cut.pieces):
        made = []
        for place, some in enumerate(stage.ranges):
            shown = names if number == 0 else ()
            piece = namer.unit(
                "piece", model.variant, model.replicate,
                {**what, "stage": number, "examples": [some.start, some.stop]}, models,
                (*(shifts[name][place] for name in shown), *pieces), probe=probe, twins=len(twins),
                sources=shown, stage=number, doing=stage.name, first=some.start, stop=some.stop,
                block=stage.block, pieces=counts, examples=0 if number else len(some),
                passes=stage.passes * len(some),
            )  # fmt: skip
            made.append(replace(piece, seed=seed))
        pieces, counts = [*pieces, *made], (*counts, len(made))
    yield from pieces
    fooling = () if pieces else tuple(unit for name in names for unit in shifts[name])
    yield replace(
        namer.unit(
            "probe", model.variant, model.replicate, what, models, (*fooling, *pieces),
            company, probe=probe, of=(model.variant,), twins=len(twins), sources=() if pieces else names,
            blocks=cut.blocks, pieces=counts, examples=0 if pieces else cut.examples,
            passes=0.0 if pieces else cut.passes,
        ),
        seed=seed,
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
    block, ranges = (cut.stages[0].block, cut.stages[0].ranges) if cut.stages else (0, [range(cut.examples)])
    ranges = ranges if cut.pieces else [range(cut.examples)]
    balls = {key: settings[key] for key in ("norms", "eps")} | _evasion(plan, {}) | {"block": block}
    return {
        model.id: [
            namer.unit(
                "perturbations", model.variant, model.replicate,
                {**balls, "examples": [some.start, some.stop]}, (model,), probe="perturbations",
                first=some.start, stop=some.stop, block=block, examples=len(some),
                passes=60.0 * len(some),
            )
            for some in ranges
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
