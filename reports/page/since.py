"""What changed since a baseline run: figures in pairs, and verdicts under the same policy."""

from dataclasses import dataclass, replace

from reports.data.key import method_title
from reports.data.results import Results
from reports.draw.chart import Cell, Table
from reports.gate.judge import Verdicts, judge
from reports.gate.status import MARKS
from reports.language import words
from reports.page.tables import differences_table
from reports.stats.compare import Comparison, compare_all
from reports.story.analysis import Analysis, word_on
from reports.story.headline import DOUBTED

CAPTION = "This run minus the baseline on the same examples (95% interval)"
LEADS = {
    "worse": "Worse than the baseline",
    "better": "Better than the baseline",
    "in doubt": f"Nothing is known, {DOUBTED}",
}
"""What each word on a difference begins a sentence with."""
SHORT = 12
"""Digits of the baseline's hash that are shown."""


@dataclass(frozen=True, slots=True)
class Since:
    """The section of a report that is given a baseline."""

    title: str
    digest: str
    summary: tuple[str, ...]
    verdicts: Table | None
    """Variants whose verdict is another one; None if there is none."""
    figures: Table | None
    """Paired differences, this run minus the baseline."""


def since(analysis: Analysis, verdicts: Verdicts, baseline: Results) -> Since:
    """Compare a run with its baseline; that the two can be compared is checked before."""
    results = analysis.results
    both = [name for name in results.names() if name in baseline.made]
    compared = {
        key.metric: compare_all(results, both, key.metric, key.at, baseline=baseline) for key in analysis.keys
    }
    # Rules against the baseline have no verdict of the baseline itself that could have changed.
    alone = tuple(rule for rule in verdicts.policy.rules if rule.reference != "baseline")
    before = judge(baseline, replace(verdicts.policy, rules=alone), today=verdicts.judged_on)
    now = replace(verdicts, decisions=tuple(d for d in verdicts.decisions if d.rule in alone))
    moved = _moved(results, now, before, both) if alone else []
    about = baseline.about
    return Since(
        words.shown(about.get("plan_name") or "run", 120),
        words.shown(about["plan_digest"])[:SHORT],
        tuple(_summary(analysis, compared, moved if alone else None, baseline, both)),
        Table("Verdicts that changed", ("Variant", "Baseline", "Now"), tuple(moved)) if moved else None,
        differences_table(analysis, compared, CAPTION, baseline=baseline),
    )


def _moved(
    results: Results, now: Verdicts, before: Verdicts, names: list[str]
) -> list[tuple[Cell, Cell, Cell]]:
    found = []
    for name in names:
        then, here = before.on(name), now.on(name)
        if then != here:
            title = Cell(method_title(results, name))
            found.append((title, Cell("", mark=MARKS[then]), Cell("", mark=MARKS[here])))
    return found


def _summary(
    analysis: Analysis,
    compared: dict[str, dict[str, Comparison]],
    moved: list[tuple[Cell, Cell, Cell]] | None,
    baseline: Results,
    both: list[str],
) -> list[str]:
    """What changed, in at most five sentences. ``moved``: None where no rule judges the baseline."""
    said = []
    for word, lead in LEADS.items():
        names = [
            f"{key.label} of {method_title(analysis.results, name)}"
            for key in analysis.keys
            for name, comparison in compared[key.metric].items()
            if word_on(analysis, key, comparison, comparison.direction, baseline) == word
        ]
        if names:
            listed = words.listing(names if len(names) <= 4 else [*names[:4], f"{len(names) - 4} more"])
            said.append(f"{lead}: {listed}.")
    if not said and any(compared.values()):
        said.append("No figure is shown to differ from the baseline’s.")
    if both and moved == []:
        said.append("No verdict changed under this policy.")
    for label, names in (
        ("new here", [n for n in analysis.results.names() if n not in baseline.made]),
        ("only in the baseline", [n for n in baseline.names() if n not in analysis.results.made]),
    ):
        if names:
            shown = [words.shown(name, 60) for name in names[:6]]
            more = f" and {len(names) - 6} more" if len(names) > 6 else ""
            said.append(f"{label.capitalize()}: {', '.join(shown)}{more}.")
    return said
