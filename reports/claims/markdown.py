"""The ledger as Markdown: the table for a README, and the whole as a document."""

from collections.abc import Mapping, Sequence

from reports.claims import words
from reports.claims.erratum import Erratum, Experiment
from reports.claims.field import field
from reports.claims.ledger import Ledger
from reports.claims.study import subject
from reports.language.markdown import text


def markdown_table(ledger: Ledger) -> str:
    """One row a claim: what it says, its verdict, the effect in its first figure."""
    rows = ["| | the paper's claim | § | verdict | effect |", "|---|---|---|---|---|"]
    for finding in ledger.findings:
        claim, mark = finding.claim, words.MARKS[finding.verdict]
        sections = claim.sections.replace("§", "")
        effect = words.effect_text(finding)
        told = f"{mark.icon} {finding.verdict}"
        rows.append(f"| {claim.id} | {text(claim.title)} | {sections} | {told} | {text(effect)} |")
    return "\n".join(rows)


def markdown(
    ledger: Ledger,
    errata: Sequence[Erratum] = (),
    experiment: Experiment | None = None,
    facts: Mapping[str, str] | None = None,
) -> str:
    """The whole as a document: the table, each claim, the errata, the experiment, how it was made."""
    parts = [
        "# The paper's claims, measured",
        words.headline(ledger),
        text(words.resolution(ledger), 2000),
        markdown_table(ledger),
        "An effect is pruned minus dense (or what the claim names), for a retraining: seeds and examples "
        "are random. Intervals are at 95%, each for itself; verdicts are corrected for all claims "
        "together (Holm). [statistics.md](statistics.md#the-papers-claims) says how a claim is judged.",
    ]
    if ledger.studies or ledger.absent:
        parts.append(_subjects(ledger))
    for finding in ledger.findings:
        claim, mark = finding.claim, words.MARKS[finding.verdict]
        lines = [
            f"## {claim.id}: {text(claim.title)}",
            f"**{mark.word}.** {text(_capital(words.summary(finding)), 2000)}",
            f"*The paper* ({claim.sections}): {text(claim.says)} *Hypothesis:* {text(claim.hypothesis)} "
            f"*Test:* {text(claim.test)} *Smallest effect that matters:* {text(claim.smallest)}.",
        ]
        told = words.sentences(finding)
        lines += ["\n".join(f"- {text(sentence, 1000)}" for sentence in told)] if told else []
        parts += lines
    parts += _errata(errata)
    parts += ["## The paper's experiment", *_beside(experiment)] if experiment is not None else []
    if ledger.studies:
        parts.append("## The field's findings, beside ours")
        for number, one in enumerate(field(ledger.studies), 1):
            parts += [f"### Finding {number}", *_beside(one)]
    if facts:
        parts += [
            "## How this was made",
            "\n".join(f"- {text(k)}: {text(v, 2000)}" for k, v in facts.items()),
        ]
    return "\n\n".join(parts) + "\n"


def _subjects(ledger: Ledger) -> str:
    known = [f"- {text(subject(study))}" for study in ledger.studies]
    known += [f"- {text(subject(one))}: not run ({text(one.why)})" for one in ledger.absent]
    return "Subjects:\n\n" + "\n".join(known)


def _capital(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]


def _errata(errata: Sequence[Erratum]) -> list[str]:
    if not errata:
        return []
    parts = ["## Errata, shown by running"]
    for one in errata:
        rows = [("printed", one.printed), ("gives", one.gives)]
        rows += [("the paper says", one.paper_says)] if one.paper_says else []
        rows += [("corrected", one.corrected)]
        listed = "\n".join(f"- {name}: {text(' / '.join(value.splitlines()), 1500)}" for name, value in rows)
        parts += [f"### {one.number}. {text(one.title)} ({text(one.where)})", text(one.remark, 1500), listed]
    return parts


def _beside(experiment: Experiment) -> list[str]:
    """Its text, its figures beside the printed ones, and why they differ."""
    rows = ["| figure | printed | ours |", "|---|---|---|"]
    rows += [f"| {text(f.name)} | {text(f.printed)} | {text(f.ours)} |" for f in experiment.figures]
    why = "\n".join(f"- {text(sentence, 1500)}" for sentence in experiment.why)
    return [text(experiment.text, 2000), *(["\n".join(rows)] if experiment.figures else []), why]
