"""Arguments and options that several commands have."""

from datetime import date, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from audit.errors import PlanError

DEMO = Path(__file__).parents[1] / "plans" / "demo.toml"


class EngineChoice(StrEnum):
    """Where units run."""

    inline = "inline"
    local = "local"
    ray = "ray"


class DeviceChoice(StrEnum):
    """What models run on."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


RunArgument = Annotated[Path, typer.Argument(metavar="DIR", help="Folder of a run.")]
PolicyOption = Annotated[
    str,
    typer.Option(metavar="FILE", help="A policy file, or one of the presets lenient, standard, strict."),
]
BaselineOption = Annotated[
    Path | None,
    typer.Option(metavar="DIR|FILE", help="Folder, or results file, of an earlier run to compare with."),
]
FirstOption = Annotated[
    bool,
    typer.Option(
        "--first",
        help="There is no earlier run yet: rules against a baseline are not asked, and the verdict says so.",
    ),
]
MlflowOption = Annotated[
    str | None,
    typer.Option(
        metavar="URI", help="Log it to MLflow too: a tracking server, or a folder (needs the extra)."
    ),
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
JsonOption = Annotated[bool, typer.Option("--json", help="For programs.")]


def one_of(baseline: Path | None, first: bool) -> None:
    """Raises PlanError where both are said."""
    if baseline is not None and first:
        raise PlanError(
            "--first: says that there is no earlier run, and --baseline names one: remove one of the two"
        )


def day(found: datetime | None) -> date | None:
    """What ``--date`` names."""
    return None if found is None else found.date()
