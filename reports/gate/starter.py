"""A policy to start from: a preset's rules for what a run measured, beside what its dense model reached."""

from reports.data.results import Results
from reports.gate.policy import Rule, preset, presets
from reports.gate.rows import find
from reports.language.metrics import metric as about_metric
from reports.language.words import shown, span


def text(results: Results, name: str) -> str:
    """TOML; rules of the preset that the run has no row for are comments. Raises PolicyError for another
    name."""
    policy = preset(name)
    source = presets()[name].read_text(encoding="utf-8").splitlines()
    run = shown(results.about.get("plan_name") or "run", 80)
    lines = [
        f"# A policy of your own, begun from the preset {name} and the run {run}: set the limits that your",
        "# use of the model asks for. What is a comment here is not asked; docs/gate.md has every key.",
        "",
    ]
    starts = [policy.lines[rule.id] - 1 for rule in policy.rules]
    for rule, first, end in zip(policy.rules, starts, [*starts[1:], len(source)], strict=True):
        block = source[first:end]
        while block and not block[-1].strip():
            block.pop()
        if results.select(rule.metric, measured=False).empty:
            lines += [f"# Not measured in that run: {rule.metric}.", *(f"# {line}" for line in block), ""]
        else:
            lines += [*_reached(results, rule), *block, ""]
    return "\n".join(lines)


def _reached(results: Results, rule: Rule) -> list[str]:
    """What dense itself has there, by the worst reading: no model pruned from it will do much better."""
    readings = find(results, rule, ["dense"])["dense"].readings
    if not readings:
        return []
    about = about_metric(rule.metric)
    worst = (min if about.worse == "lower" else max)(readings, key=lambda reading: reading.value)
    where = f" (n = {worst.n:,})" if worst.n else ""
    title = f"{about.title[:1].lower()}{about.title[1:]}"
    return [f"# Dense: {title} {span(worst.low, worst.high, about.unit)}{where}."]
