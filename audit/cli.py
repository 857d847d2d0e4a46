"""The command line. Heavy imports wait until a command needs them: ``report`` works without torch."""

import importlib.util
import json
import shlex
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from audit import __version__
from audit.errors import INTERNAL, AuditError, IncompleteError, PlanError

app = typer.Typer(
    name="prune-audit",
    help=(
        "Audit a PyTorch classifier and its pruned versions before deployment: accuracy, evasion, membership "
        "inference, model extraction, size and speed; with intervals, in one HTML report.\n\n"
        "Start with  prune-audit run  (the embedded demo, about three minutes), then  prune-audit init  for "
        "your own model. In CI,  prune-audit gate DIR  says whether a run meets a policy.\n\n"
        "Exit codes: 0 done or pass, 1 gate failed, 2 usage, plan or policy error, 3 inconclusive, 4 run "
        "incomplete or not comparable, 5 model or data refused, 70 internal error (says nothing about the "
        "model), 130 interrupted (run the same command again to resume)."
    ),
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
console = Console(soft_wrap=True)


class EngineChoice(StrEnum):
    """Where units run."""

    inline = "inline"
    local = "local"


class DeviceChoice(StrEnum):
    """What models run on."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


class Listing(StrEnum):
    """What there is to list."""

    probes = "probes"
    attacks = "attacks"
    criteria = "criteria"
    allocations = "allocations"
    methods = "methods"
    data = "data"
    models = "models"
    charts = "charts"


RunArgument = Annotated[Path, typer.Argument(metavar="DIR", help="Folder of a run.")]
PolicyOption = Annotated[
    str,
    typer.Option(metavar="FILE", help="A policy file, or one of the presets lenient, standard, strict."),
]
BaselineOption = Annotated[
    Path | None, typer.Option(metavar="DIR", help="Folder of an earlier run to compare with.")
]
DateOption = Annotated[
    datetime | None,
    typer.Option(
        "--date", formats=["%Y-%m-%d"], metavar="YYYY-MM-DD",
        help="The day of judgement, which decides what waivers count. By default today.",
    ),
]  # fmt: skip
PlanArgument = Annotated[Path | None, typer.Argument(help="The plan (TOML). Without one, the embedded demo.")]
RootOption = Annotated[
    Path | None, typer.Option(help="Folder that holds the data, in place of the plan's [data] root.")
]
DeviceOption = Annotated[DeviceChoice, typer.Option(help="Device; auto takes CUDA where there is one.")]
QuickOption = Annotated[
    bool,
    typer.Option(
        "--quick",
        help="A smoke run: one seed, the outermost sparsities, at most 200 examples, evasion at level quick.",
    ),
]


@app.command()
def run(
    plan: PlanArgument = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the run. By default runs/NAME-OF-PLAN.")] = None,
    engine: Annotated[
        EngineChoice, typer.Option(help="Worker processes, or this process (debugging).")
    ] = EngineChoice.local,
    jobs: Annotated[int | None, typer.Option(min=1, help="Worker processes. By default one a core.")] = None,
    device: DeviceOption = DeviceChoice.auto,
    quick: QuickOption = False,
    root: RootOption = None,
    policy: PolicyOption = "standard",
    log_json: Annotated[
        bool, typer.Option("--log-json", help="Progress as JSON, one object a line, for programs.")
    ] = False,
) -> None:
    """Run a plan, or resume it, and write report.html and measurements.csv.

    A run that was stopped goes on where it stopped; a finished one computes nothing. A folder belongs to the
    model and its data: after a change of what is pruned or measured, only what is new is computed.
    """
    from audit import gating, runner
    from reports.gate.policy import find
    from reports.write import write

    with gating.mistakes():
        judge_by = find(policy)
    subject = _subject(plan, root=root, quick=quick, device=device)
    tell = Console(stderr=True, soft_wrap=True) if log_json else console
    _examine(subject, plan, console=tell)
    loaded = subject.plan
    folder = out or Path("runs") / loaded.name
    tell.print(
        f"Auditing {loaded.model.build} on {loaded.data.source}: {len(subject.data.test)} audit examples, "
        f"results in {folder}",
        markup=False, highlight=False,
    )  # fmt: skip
    command = ["prune-audit", "run", *([str(plan)] if plan else []), *(["--quick"] if quick else [])]
    try:
        outcome = runner.run(
            subject, folder, engine=engine.value, jobs=jobs, command=shlex.join(command), console=console,
            log_json=log_json,
        )  # fmt: skip
    except KeyboardInterrupt:
        _say(f"\nInterrupted. What is finished is kept in {folder}; run the same command again to go on.")
        raise typer.Exit(130) from None
    if outcome.computed == 0:
        tell.print("Everything was done already; nothing was computed.", highlight=False)
    with gating.mistakes():
        for path in write(folder, policy=judge_by):
            tell.print(f"Wrote {path}", highlight=False, markup=False)
        _headline(folder, judge_by, tell)
    if outcome.failed:
        raise IncompleteError(
            f"{outcome.failed} of {outcome.planned} units failed; the report shows them. "
            "Run the same command again to retry them."
        )


@app.command()
def report(
    folder: RunArgument,
    formats: Annotated[
        list[str] | None,
        typer.Option(
            "--format",
            metavar="FORMAT",
            help="What to write, into DIR; may be repeated. By default html "
            "and csv; also json, markdown, sarif, junit, pdf, model-card, cyclonedx, in-toto.",
        ),
    ] = None,
    policy: PolicyOption = "standard",
    baseline: BaselineOption = None,
    day: DateOption = None,
) -> None:
    """Render a run again. Needs no torch, no model and no data: only the run's folder."""
    from audit import gating
    from reports.exports import names
    from reports.gate.policy import find
    from reports.write import write

    wanted = list(dict.fromkeys(formats or ["html", "csv"]))
    if unknown := [name for name in wanted if name not in names()]:
        raise PlanError(f"--format {unknown[0]}: there is no such format; there are: {', '.join(names())}")
    with gating.mistakes():
        paths = write(folder, wanted, policy=find(policy), baseline=baseline, today=_day(day))
    for path in paths:
        console.print(f"Wrote {path}", highlight=False, markup=False)


@app.command()
def gate(
    folder: RunArgument,
    policy: PolicyOption = "standard",
    baseline: BaselineOption = None,
    day: DateOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Judge a run by a policy, for CI: what is not shown to pass does not pass.

    Exit codes: 0 pass or waived, 1 fail, 3 inconclusive, 4 something that a rule asks for has not run, or the
    baseline cannot be compared. Where several hold, 1 goes before 4 and 4 before 3.
    """
    from audit import gating
    from reports.gate.policy import find
    from reports.write import judged

    with gating.mistakes():
        verdicts = judged(folder, find(policy), baseline, _day(day)).verdicts
    if as_json:
        typer.echo(json.dumps(gating.decisions(verdicts), indent=2, ensure_ascii=False))
    else:
        gating.show(verdicts, folder, console)
    raise typer.Exit(verdicts.exit_code)


@app.command("status")
def status_command(
    folder: RunArgument,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Show how far a run is, while it goes on or after it stopped: done, failed, time left, slowest units."""
    from audit import gating
    from audit.status import lines, status

    with gating.mistakes():
        found = status(folder)
    if as_json:
        typer.echo(json.dumps(found.table, indent=2, ensure_ascii=False))
        return
    table = Table(show_header=False, box=None)
    for name, value in lines(found):
        table.add_row(name, Text(value))
    console.print(table, highlight=False)


@app.command("preflight")
def preflight_command(
    plan: Annotated[Path, typer.Argument(help="The plan (TOML).")],
    root: RootOption = None,
    device: DeviceOption = DeviceChoice.auto,
    quick: QuickOption = False,
    policy: PolicyOption = "standard",
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Check model, data and plan before any attack; tell the time, and what the policy can decide."""
    from audit import epsilon, estimate, gating
    from reports.gate.policy import find

    with gating.mistakes():
        judge_by = find(policy)
    subject = _subject(plan, root=root, quick=quick, device=device)
    facts = dict(estimate.facts(subject, judge_by))
    lacks = epsilon.missing(subject.plan, [(rule.id, rule.at) for rule in judge_by.rules])
    if as_json:
        _as_json(subject, plan, facts, lacks)
        return
    _examine(subject, plan, facts)
    for lack in lacks:
        console.print(
            f"Note: {lack}: of policy {judge_by.name} it will not be decided", highlight=False, markup=False
        )


def _as_json(subject: Any, path: Path, facts: dict[str, str], lacks: list[str]) -> None:
    """What preflight found, for programs; a serious mistake is refused all the same."""
    from dataclasses import asdict

    from audit.preflight import examine

    found = examine(subject)
    table = {
        "facts": facts,
        "figures": [list(pair) for pair in found.figures],
        "findings": [{"model": f.model, **asdict(f.mistake)} for f in found.findings],
        "refused": sorted({f.mistake.name for f in found.refused}),
        "policy_lacks": lacks,
    }
    typer.echo(json.dumps(table, indent=2, ensure_ascii=False))
    with _named(path):
        found.refuse()


def _examine(
    subject: Any, path: Path | None, facts: dict[str, str] | None = None, console: Console = console
) -> None:
    """Say on the terminal what the model's figures look like; a serious mistake is refused.

    ``facts``: what else there is to say of the plan, above it.
    """
    from audit.preflight import examine

    found = examine(subject)
    if facts is not None:
        table = Table(show_header=False, box=None)
        for name, value in [*facts.items(), *found.figures]:
            table.add_row(name, Text(value))
        console.print(table, highlight=False)
    for warning in found.warnings:
        console.print(f"Warning: {warning}", highlight=False, markup=False)
    with _named(path):
        found.refuse()


@app.command()
def convert(
    old: Annotated[
        Path, typer.Argument(metavar="OLD", help="A checkpoint, of any kind that is safe to read.")
    ],
    new: Annotated[Path, typer.Argument(metavar="NEW.safetensors", help="Where to write its weights.")],
    key: Annotated[
        str | None, typer.Option(help="Which of its entries holds the weights; by default the usual one.")
    ] = None,
    strip_prefix: Annotated[
        str | None, typer.Option(help="What the weights' names begin with; others are left out.")
    ] = None,
) -> None:
    """Write a checkpoint's weights as safetensors: unwrapped, masks folded in. Runs no code of the file."""
    from audit.subject import checkpoints

    for line in checkpoints.convert(old, new, key, strip_prefix):
        console.print(f"- {line}", highlight=False, markup=False)
    console.print(f"Wrote {new}", highlight=False, markup=False)


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(metavar="[DIR]", help="Where to write.")] = Path(),
    model: Annotated[
        str | None, typer.Option(metavar="SPEC", help="What builds it, such as torchvision:resnet18.")
    ] = None,
    weights: Annotated[Path | None, typer.Option(metavar="FILE", help="A checkpoint to look at.")] = None,
    data: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="A folder of images, or a .npz, .csv or .parquet file."),
    ] = None,
) -> None:
    """Write a plan to start auditing your own model from: proposed from what you name, or a commented one."""
    from audit import starter

    for path in starter.write(folder, model, weights, data):
        console.print(f"Wrote {path}", highlight=False, markup=False)
    console.print(
        "Next: read plan.toml, make it yours (and my_model.py, where it names that), then\n"
        f"  prune-audit preflight {folder / 'plan.toml'}",
        highlight=False, markup=False,
    )  # fmt: skip


@app.command("list")
def list_command(
    what: Annotated[Listing | None, typer.Argument(help="One kind; by default all.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Show what there is: probes, attacks, pruning criteria and methods, data sources, models, charts."""
    from audit import catalogue

    found = {kind.value: catalogue.of(kind.value) for kind in ([what] if what else list(Listing))}
    if as_json:
        typer.echo(json.dumps(found, indent=2, ensure_ascii=False))
        return
    for kind, entries in found.items():
        table = Table(title=kind, title_justify="left", box=None, show_header=False, title_style="bold")
        for name, line in entries.items():
            table.add_row(name, line)
        console.print(table, highlight=False, markup=False)


def _day(found: datetime | None) -> date | None:
    return None if found is None else found.date()


def _version(value: bool) -> None:
    if value:
        typer.echo(f"prune-audit {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", "-V", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass


def _subject(path: Path | None, *, root: Path | None, quick: bool, device: DeviceChoice) -> Any:
    """The plan's model and data, checked; what is wrong with them is said with the plan's name."""
    from audit import plan as plans
    from audit.preflight import device_of, preflight

    path = path or Path(__file__).parent / "plans" / "demo.toml"
    loaded = plans.load(path, root=root, quick=quick)
    runs_on = device_of(device.value)
    with _named(path):
        return preflight(loaded, runs_on)


@contextmanager
def _named(path: Path | None) -> Iterator[None]:
    """Mistakes in a plan are said with its name."""
    try:
        yield
    except AuditError as error:
        if path is None:
            raise
        lines = str(error).splitlines()  # those that begin with blanks are code to copy
        named = [line if line.startswith(" ") else f"{path}: {line}" for line in lines]
        raise type(error)("\n".join(named)) from error


def _headline(folder: Path, policy: Any, console: Console) -> None:
    """The report's own first sentences and key figures, so that the terminal says the same as the page."""
    from audit import gating
    from reports.write import judged

    run = judged(folder, policy)
    gating.summary(run.results, run.verdicts, console)


def _say(message: str) -> None:
    Console(stderr=True, soft_wrap=True).print(message, highlight=False, markup=False)


def _unshadowed() -> None:
    """Raises PlanError where another package of the same name would be imported in place of one of ours."""
    ours = Path(__file__).resolve().parents[1]
    for name in ("attacks", "pruning", "reports"):
        found = importlib.util.find_spec(name)
        at = (
            next(iter(found.submodule_search_locations or [found.origin or "?"]), "?") if found else "nowhere"
        )
        if Path(at).resolve() != ours / name:
            raise PlanError(
                f"{at}: would be imported in place of prune-audit's own package {name!r}: rename it, or "
                "start the command prune-audit (not python -m audit) from another folder, without PYTHONPATH"
            )


def main() -> None:
    """Entry point: a user's mistake becomes one message and an exit code; one of ours, a traceback and 70."""
    try:
        _unshadowed()
        app()
    except AuditError as error:
        _say(f"prune-audit: {error}")
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        _say("Interrupted.")
        sys.exit(130)
    except Exception as error:
        traceback.print_exc()
        _say(
            f"prune-audit: internal error, which says nothing about your model: {type(error).__name__}: "
            f"{error}\nThis is a bug in prune-audit {__version__}. Please report it with the lines above and "
            "the command that you ran. What a run has finished is kept."
        )
        sys.exit(INTERNAL)
