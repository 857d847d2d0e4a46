"""What a machine bears: never more workers than cores or than memory holds."""

import os
from pathlib import Path

import pytest

from audit import machine
from audit.work import batch_size


def test_a_container_s_limits_count(tmp_path: Path) -> None:
    (tmp_path / "cpu.max").write_text("100000 100000\n", encoding="utf-8")
    (tmp_path / "memory.max").write_text(f"{4 * 2**30}\n", encoding="utf-8")
    (tmp_path / "memory.current").write_text(f"{3 * 2**30}\n", encoding="utf-8")
    assert machine.cores(tmp_path) == 1
    found = machine.available_memory(tmp_path)
    assert found is not None
    assert found <= 2**30


def test_no_limits_are_no_limits(tmp_path: Path) -> None:
    (tmp_path / "cpu.max").write_text("max 100000\n", encoding="utf-8")
    (tmp_path / "memory.max").write_text("max\n", encoding="utf-8")
    assert machine.cores(tmp_path) == machine.cores(tmp_path / "absent") <= (os.cpu_count() or 1)


def test_workers_by_cores_and_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "cores", lambda limits: 64)
    monkeypatch.setattr(machine, "available_memory", lambda limits: 10 * 2**30)
    assert machine.workers(2**30) == 10
    assert machine.workers(2**20) == 64
    assert machine.workers(2**40) == 1
    monkeypatch.setattr(machine, "available_memory", lambda limits: None)
    assert machine.workers(2**40) == 64


def test_the_peak_is_that_of_this_process() -> None:
    assert 2**26 < machine.peak_memory() < 2**36


def test_large_inputs_go_through_in_fewer_at_a_time() -> None:
    assert [batch_size(values) for values in (1, 64, 3 * 32 * 32, 3 * 224 * 224, 2**21)] == [
        256, 256, 256, 4, 1,
    ]  # fmt: skip
