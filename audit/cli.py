"""The command line: what there is, and what becomes of mistakes. The commands are in ``audit/commands/``."""

import importlib.util
import sys
import traceback
from pathlib import Path
from typing import Annotated

import typer

from audit import __version__
from audit.commands.compare import compare
from audit.commands.convert import convert
from audit.commands.gate import gate
from audit.commands.init import init
from audit.commands.listing import listing
from audit.commands.policy import policy
from audit.commands.preflight import preflight
from audit.commands.report import report
from audit.commands.reproduce import reproduce
from audit.commands.run import run
from audit.commands.status import status
from audit.commands.terminal import complain
from audit.commands.verify import manifest, verify
from audit.errors import INTERNAL, AuditError, PlanError
from reports.language.words import shown

app = typer.Typer(
    name="prune-audit",
    help=(
        "Audit a PyTorch classifier and its pruned versions before deployment: accuracy, evasion, membership "
        "inference, model extraction, weight tampering, size and speed; with intervals, in one HTML "
        "report.\n\n"
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
app.command("run")(run)
app.command("report")(report)
app.command("gate")(gate)
app.command("compare")(compare)
app.add_typer(policy, name="policy")
app.command("status")(status)
app.command("preflight")(preflight)
app.command("convert")(convert)
app.command("init")(init)
app.command("reproduce")(reproduce)
app.command("verify")(verify)
app.command("manifest")(manifest)
app.command("list")(listing)


def _version(value: bool) -> None:
    if value:
        typer.echo(f"prune-audit {__version__}")
        raise typer.Exit


_verbose = [False]
"""Whether a mistake's way through the program is shown."""


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", "-V", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Where a mistake is said, show where it was met too.")
    ] = False,
) -> None:
    _verbose[:] = [verbose]


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
        if any(_verbose):
            traceback.print_exc()
        complain(f"prune-audit: {error}")
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        complain("Interrupted.")
        sys.exit(130)
    except Exception as error:
        if isinstance(error, OSError) and error.filename is not None:  # a path that no system call bears
            complain(f"prune-audit: {shown(error.filename)}: {error.strerror}")
            sys.exit(PlanError.exit_code)
        traceback.print_exc()
        complain(
            f"prune-audit: internal error, which says nothing about your model: {type(error).__name__}: "
            f"{error}\nThis is a bug in prune-audit {__version__}. Please report it with the lines above and "
            "the command that you ran. What a run has finished is kept."
        )
        sys.exit(INTERNAL)
