"""Writes the exports of a run into its folder."""

import dataclasses
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from reports.data.results import Results, read
from reports.exports import export
from reports.gate.baseline import cautions, read_baseline
from reports.gate.judge import Verdicts, judge
from reports.gate.policy import DEFAULT, Policy, preset


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """A run, what a policy says of it, and the earlier run that it is compared with."""

    results: Results
    verdicts: Verdicts
    baseline: Results | None


def judged(
    folder: Path,
    policy: Policy | None = None,
    baseline: Path | None = None,
    today: date | None = None,
    *,
    first: bool = False,
) -> Judged:
    """Read the run in ``folder`` and judge it, by the preset ``standard`` where no policy is given.

    ``today``: the day of judgement, which decides what waivers count; the calendar's where none is given.
    ``first``: there is no earlier run yet, and rules against one are not asked.

    Raises :class:`reports.data.ledger.LedgerError` where there is no run, and
    :class:`reports.gate.baseline.NotComparableError` where the baseline cannot be one.
    """
    results = read(folder)
    old = None if baseline is None else read_baseline(results, baseline)
    verdicts = judge(results, policy or preset(DEFAULT), old, today, first=first)
    if old is not None:
        verdicts = dataclasses.replace(verdicts, remarks=(*cautions(results, old), *verdicts.remarks))
    return Judged(results, verdicts, old)


def write(
    folder: Path,
    formats: Sequence[str] = ("html", "csv"),
    *,
    policy: Policy | None = None,
    baseline: Path | None = None,
    today: date | None = None,
    first: bool = False,
) -> list[Path]:
    """Render the run in ``folder`` and write it there, each file whole or not at all; returns their paths.

    Raises what :func:`judged` does, ValueError on an unknown format,
    :class:`reports.exports.pdf.NoBrowserError`, and OSError where the folder cannot be written to.
    """
    chosen = [export(name) for name in formats]
    run = judged(folder, policy, baseline, today, first=first)
    contents = {folder / one.file: one.render(run.results, run.verdicts, run.baseline) for one in chosen}
    for path, content in contents.items():
        replace(path, content)
    return list(contents)


def replace(path: Path, content: str | bytes) -> None:
    """Write a file at once: a reader sees the old file or the new one, never half of it."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content.encode("utf-8") if isinstance(content, str) else content)
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)  # mkstemp's files are for their owner alone
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
