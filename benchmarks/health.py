"""Each health check of a finished run beside its limit: what healthy models show.

    prune-audit run --out runs/demo
    python benchmarks/health.py runs/demo

Prints Markdown. Exits with 1 if a flag is raised or a check failed.
"""

import sys
from pathlib import Path

from reports.data import health
from reports.data.results import Results, read


def table(results: Results) -> tuple[list[str], bool]:
    """Rows of the table, and whether nothing is raised or failed."""
    by: dict[str, list[health.Flag]] = {}
    for flag in health.flags(results):
        by.setdefault(flag.name, []).append(flag)
    lines = []
    for name, found in by.items():
        values = sorted(flag.value for flag in found if flag.status == "ok")
        mean, most = (sum(values) / len(values), values[-1]) if values else (float("nan"),) * 2
        count = sum(flag.raised or flag.failed for flag in found)
        lines.append(f"| `{name}` | {len(values)} | {mean:.4f} | {most:.3f} | {found[0].limit:g} | {count} |")
    return lines, not any(flag.raised or flag.failed for found in by.values() for flag in found)


def main() -> int:
    """Print the table of the run named."""
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    lines, quiet = table(read(Path(sys.argv[1])))
    print("| check | models | mean | largest | limit | raised or failed |\n|---|---|---|---|---|---|")
    print("\n".join(lines))
    return int(not quiet)


if __name__ == "__main__":
    sys.exit(main())
