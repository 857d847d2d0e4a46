"""Kill -9 at random moments: does a run lose or change anything?

    python benchmarks/kills.py --kills 50

The demo runs once undisturbed. Then it runs again, two workers, and is killed time after time: the driver, or
one of its workers, after a random while; after each killed driver the same command resumes it. In the end all
rows but the timings must be those of the undisturbed run. Exits with 1 if not. ``--plan`` takes another plan.
"""

import argparse
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
ROWS = (
    "SELECT variant, seed, probe, metric, at, value, low, high, n, status, note, outcomes FROM measurement "
    "WHERE metric != 'latency' ORDER BY 1, 2, 3, 4, 5"
)


def main() -> int:
    """Run, kill, resume, compare."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--plan", help="by default the demo")
    parser.add_argument("--longest", type=float, default=12.0, help="seconds between kills, at most")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="prune-audit-kills-") as folder:
        undisturbed, disturbed = Path(folder) / "undisturbed", Path(folder) / "disturbed"
        assert _start(options.plan, undisturbed).wait() == 0
        kills = _disturb(options, disturbed)
        first, second = rows(undisturbed), rows(disturbed)
    lost, more = len(set(first) - set(second)), len(set(second) - set(first))
    print(f"{kills} kills; {len(first)} rows undisturbed, {len(second)} resumed; {lost} lost, {more} other")
    return 0 if first == second else 1


def rows(out: Path) -> list[tuple[Any, ...]]:
    """Every measurement of the run, but for the timings."""
    with closing(sqlite3.connect(out / "run.sqlite")) as db:
        return db.execute(ROWS).fetchall()


def _disturb(options: argparse.Namespace, out: Path) -> dict[str, int]:
    luck, kills = random.Random(options.seed), {"driver": 0, "worker": 0}
    process = _start(options.plan, out)
    while True:
        with suppress(subprocess.TimeoutExpired):
            code = process.wait(luck.uniform(0, options.longest))
            if sum(kills.values()) >= options.kills and code == 0:
                return kills
            if code == 0:  # finished before the kills were: begin again from what was there at some moment
                _forget(out, luck)
            elif code not in (
                -signal.SIGKILL,
                4,
            ):  # 4: a unit that was killed twice has failed; it is retried
                raise SystemExit(f"the run ended with exit code {code}")
            process = _start(options.plan, out)
            continue
        if sum(kills.values()) < options.kills:
            victim = luck.choice(("driver", "worker"))
            kills[victim] += _kill(process, victim, luck)


def _forget(out: Path, luck: random.Random) -> None:
    """Takes a third of the units back to where they had not been done."""
    with closing(sqlite3.connect(out / "run.sqlite")) as db, db:
        names = [name for (name,) in db.execute("SELECT id FROM every_unit WHERE kind != 'cost'")]
        for name in luck.sample(names, len(names) // 3):
            for table in ("every_measurement", "every_variant", "part"):
                db.execute("DELETE FROM " + table + " WHERE unit = ?", (name,))  # noqa: S608
            db.execute("UPDATE every_unit SET status = 'planned', \"rows\" = 0 WHERE id = ?", (name,))


def _kill(process: subprocess.Popen[bytes], victim: str, luck: random.Random) -> int:
    """Kills one; 0 if there was none."""
    if victim == "driver":
        process.kill()
        return 1
    workers = _workers(process.pid)
    if not workers:
        return 0
    with suppress(ProcessLookupError):
        os.kill(luck.choice(workers), signal.SIGKILL)
        return 1
    return 0


def _workers(driver: int) -> list[int]:
    found = []
    for children in Path(f"/proc/{driver}/task").glob("*/children"):
        with suppress(OSError):
            pids = children.read_text(encoding="utf-8").split()
            found += [int(p) for p in pids if b"spawn_main" in Path(f"/proc/{p}/cmdline").read_bytes()]
    return found


def _start(plan: str | None, out: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "audit", "run", *([plan] if plan else []), "--out", str(out)]
    time.sleep(0.2)  # a killed driver's lock is gone, and its workers see that it is
    return subprocess.Popen(
        [*command, "--jobs", "2", "--device", "cpu"], cwd=ROOT, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
