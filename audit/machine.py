"""What the machine at hand has: cores, and memory."""

import os
import resource
import sys
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")
"""Where a container's limits are told (cgroup version 2)."""


def cores(limits: Path = CGROUP) -> int:
    """Cores that this process may use: of the machine, of its own affinity, of its container."""
    found = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota, _, period = _text(limits / "cpu.max").partition(" ")
    if quota.isdigit() and period.strip().isdigit():
        found = min(found, max(1, int(quota) // int(period)))
    return max(1, found)


def available_memory(limits: Path = CGROUP) -> int | None:
    """Bytes that are free for new processes, in the machine and in its container; None if nobody tells."""
    told = _text(Path("/proc/meminfo")).splitlines()
    found = [int(line.split()[1]) * 1024 for line in told if line.startswith("MemAvailable:")]
    most, used = _text(limits / "memory.max").strip(), _text(limits / "memory.current").strip()
    if most.isdigit() and used.isdigit():
        found.append(max(0, int(most) - int(used)))
    return min(found) if found else None


def peak_memory() -> int:
    """The most bytes that this process has held at once."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def workers(peak: int, limits: Path = CGROUP) -> int:
    """How many workers of ``peak`` bytes the machine bears: one a core, and no more than memory holds."""
    memory = available_memory(limits)
    held = cores(limits) if memory is None or peak <= 0 else max(1, memory // peak)
    return min(cores(limits), held)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""
