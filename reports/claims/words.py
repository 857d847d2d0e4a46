"""What a claim's verdict is called, and its sentences."""

from collections.abc import Mapping, Sequence

from reports.claims.ledger import Finding, Ledger, claims
from reports.claims.pool import WHOLE, Pooled
from reports.claims.settle import settling
from reports.claims.study import subject
from reports.claims.verdict import Verdict
from reports.gate.status import Mark
from reports.language.words import DASH, change, change_span, counted, listing
from reports.stats.difference import TAIL

MARKS: Mapping[Verdict, Mark] = {
    "supported": Mark("SUPPORTED", "✓", "supported"),
    "contradicted": Mark("CONTRADICTED", "✕", "contradicted"),
    "mixed": Mark("MIXED", "◐", "mixed"),
    "inconclusive": Mark("INCONCLUSIVE", "?", "inconclusive"),
    "not tested": Mark("NOT TESTED", "–", "not-tested"),
}
MOST = 5
"""Settings that a sentence names before it counts the rest."""


def effect(one: Pooled) -> str:
    """``−9.4 points (−13.9 to −5.0)``; without an interval where nothing is known of a retraining."""
    unit = one.facet.unit
    value = change(one.effect.value, unit)
    if not one.effect.known:
        return f"{value} (one seed: no interval)"
    low, high = one.effect.ends()
    return f"{value} ({change_span(low, high, unit)})"


def effect_text(finding: Finding) -> str:
    """The effect in the claim's first figure; a dash where it was not tested. Where a verdict rests on what
    each subject shows, and the interval of their mean shows nothing: each subject's. Of the safest setting
    (C14): in the figure that stands nearest to its limit."""
    if finding.verdict == "not tested" or not finding.wholes:
        return DASH
    first = finding.wholes[0]
    if finding.verdict in ("supported", "contradicted") and (own := _by_each(first)):
        return f"{own}, each subject by itself"
    return f"{effect(first)} in {first.facet.name}" if finding.claim.each_subject else effect(first)


def summary(finding: Finding) -> str:
    """One sentence that gives the verdict's reason."""
    decided = finding.decided
    match finding.verdict:
        case "not tested":
            return f"Not measured: {'; '.join(finding.missing)}."
        case "mixed":
            return f"It holds for {where(decided.holding)}; it fails for {where(decided.failing)}."
        case "inconclusive" if decided.against:
            holds = all(one.holds < one.fails for one in finding.wholes)
            shown = f"On the whole it {'holds' if holds else 'fails'}, {effect_text(finding)}"
            return f"{shown}, but not everywhere: {where(decided.against)} lies on the limit's other side."
        case "inconclusive":
            return settled(finding)
    if finding.claim.each_subject:
        best = "; ".join(one.level for one in finding.pooled if one.factor != WHOLE)
        if finding.verdict == "supported":
            return f"No worse than dense in any probe: {best}."
        return f"Every setting is worse than dense in some probe; the best are {best}."
    told = []
    for one in finding.wholes:
        own = _by_each(one)
        each = f", shown in each of {len(one.subjects)} subjects: {own}" if own else ""
        told.append(f"{one.facet.name} {effect(one)}{each}")
    needs = f"what matters: {finding.claim.smallest}"
    return f"{listing(told)}; {needs}."


def _by_each(one: Pooled) -> str:
    """The effect of each subject, where the mean's own interval does not show what theirs do: with few
    subjects it is wide, whatever they say. Empty where it does."""
    region = one.facet.region
    if one.summary is None or min(region.inside(one.effect), region.outside(one.effect)) <= TAIL:
        return ""
    unit = one.facet.unit
    return listing([f"{change(e.value, unit)} ({change_span(*e.ends(), unit)})" for _, e in one.subjects])


def settled(finding: Finding) -> str:
    """Of the figure that is hardest to settle: what would settle it."""
    if finding.claim.each_subject:
        return "In no subject is a setting shown to be safe in every probe, nor all shown to be unsafe."
    hardest = max(finding.wholes, key=lambda one: min(one.holds, one.fails))
    routes = 1 if hardest.summary is None else 2
    told = settling(hardest, TAIL / len(claims()) / routes)
    return told if len(finding.wholes) == 1 else f"{hardest.facet.name}: {told}"


def where(settings: Sequence[Pooled]) -> str:
    """Settings in words: a figure as a whole, and the levels of those that are not named as a whole."""
    whole = {one.facet.name for one in settings if one.factor == WHOLE}
    named: dict[str, list[str]] = {}
    for one in settings:
        if one.factor == WHOLE or one.facet.name not in whole:
            named.setdefault(one.facet.name, [])
            if one.factor != WHOLE:
                named[one.facet.name].append(one.name)
    told = []
    for facet, levels in named.items():
        more = len(levels) - MOST
        shown = [*levels[:MOST], *([f"{more} more"] if more > 0 else [])]
        told.append(f"{facet} ({listing(shown)})" if shown else facet)
    return listing(told)


def sentences(finding: Finding) -> list[str]:
    """All that the finding rests on and lacks, a sentence each."""
    found = [*finding.notes]
    excluded: dict[str, int] = {}
    for _, cell in finding.cells:
        if cell.excluded:
            excluded[cell.excluded] = excluded.get(cell.excluded, 0) + 1
    if excluded:
        many = sum(excluded.values())
        reasons = sorted(excluded)
        rest = f", and {len(reasons) - MOST} reasons more" if len(reasons) > MOST else ""
        found.append(
            f"{counted(many, 'figure')} of {len(finding.cells)} support nothing: "
            f"{'; '.join(reasons[:MOST])}{rest}."
        )
    if finding.verdict != "not tested":
        found += [f"Not measured: {missing}." for missing in finding.missing]
    if finding.silent:
        found.append(f"Not tested on: {'; '.join(finding.silent)}.")
    studies = {cell.study.name: cell.study for _, cell in finding.cells}
    if len(studies) == 1:
        found.append(
            f"One subject only ({subject(next(iter(studies.values())))}): it says nothing of others."
        )
    for one in finding.wholes:
        expected = one.summary.prediction if one.summary is not None else None
        if expected is not None and one.effect.known:
            ends = change_span(*expected, one.facet.unit)
            of = counted(len(one.subjects), "subject")
            found.append(
                f"For another data set or network, expect a change of {ends} in {one.facet.name} (95% "
                f"prediction interval from {of})."
            )
    return found


def headline(ledger: Ledger) -> str:
    """``Of 14 claims, 3 are supported, …, on 2 subjects.``"""
    parts = [
        f"{n} {'is' if n == 1 else 'are'} {verdict}" for verdict in MARKS if (n := ledger.count(verdict))
    ]
    total = len(ledger.findings)
    return f"Of the paper’s {total} claims, {listing(parts)}; on {counted(len(ledger.studies), 'subject')}."


def resolution(ledger: Ledger) -> str:
    """The paper's contradiction (C1: more robust; C2: less) as measured: when which holds."""
    first, second = ledger.of("C1"), ledger.of("C2")
    if "not tested" in (first.verdict, second.verdict):
        lacking = [f.claim.id for f in (first, second) if f.verdict == "not tested"]
        known = [f for f in (first, second) if f.verdict != "not tested"]
        told = "".join(f" {f.claim.id} alone is {f.verdict}: {effect_text(f)}." for f in known)
        return (
            "The paper says both that pruning makes a model more robust (C1) and that it makes it less so"
            " (C2); "
            f"{listing(lacking)} {'was' if len(lacking) == 1 else 'were'} not tested, so that which holds is "
            f"open.{told}"
        )
    return (
        f"The paper says both: measured here, pruning changes accuracy under the attacks tuned for by "
        f"{effect_text(first)} and under attacks unlike them by {effect_text(second)}; that it makes a "
        f"model more robust (C1) is {first.verdict}{_shown(first)}, that it makes it less robust against "
        f"the unseen (C2) is {second.verdict}{_shown(second)}."
    )


def _shown(finding: Finding) -> str:
    """Where a claim is shown to hold, in brackets."""
    if finding.verdict == "contradicted":
        return ""
    places = [one for one in finding.decided.holding if one.factor != WHOLE]
    if not finding.decided.holding:
        return " (shown nowhere)"
    names = [one.name for one in places][:MOST]
    return f" (shown for {listing(names)})" if names else " (on the whole)"
