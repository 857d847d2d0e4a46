"""Where units run: in this process (for debugging), or in local worker processes of one thread each."""

import multiprocessing
import os
import signal
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from attacks.probe import Examples
from audit.errors import IncompleteError
from audit.subject.data import Data
from audit.unit import Unit
from audit.work import Context, Given, Result, perform
from pruning.modes import one_thread

WorkerDied = BrokenProcessPool
"""What a future raises when its worker process was killed; the engine must then be restarted."""


class Engine(Protocol):
    """Runs units."""

    @property
    def slots(self) -> int:
        """How many units at a time."""

    @property
    def shares_fate(self) -> bool:
        """Whether a worker that dies takes with it all that is in flight."""

    def submit(self, unit: Unit, given: Given) -> Future[Result]:
        """Start one unit."""

    def restart(self) -> None:
        """Begin again with fresh workers, after one died."""

    def close(self, *, at_once: bool = False) -> None:
        """Let the workers go; ``at_once``: work in flight is lost (it has written nothing)."""


class Inline:
    """Everything in this process, one unit after the other."""

    slots = 1
    shares_fate = True

    def __init__(self, context: Context) -> None:
        self._context = context

    def submit(self, unit: Unit, given: Given) -> Future[Result]:
        """Do the unit now; the future is done."""
        future: Future[Result] = Future()
        with one_thread():
            future.set_result(perform(unit, given, self._context))
        return future

    def restart(self) -> None:
        """There are no workers."""

    def close(self, *, at_once: bool = False) -> None:
        """There are no workers."""


class Local:
    """Worker processes on this machine: small nets run best with one thread per process."""

    shares_fate = True

    def __init__(self, context: Context, jobs: int) -> None:
        self.slots = jobs
        self._folder = tempfile.TemporaryDirectory(prefix="prune-audit-")
        shared = _Shared.write(context, Path(self._folder.name) / "data.safetensors")
        self._arguments = (shared,)
        self._pool = self._start()

    def _start(self) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(
            self.slots, multiprocessing.get_context("spawn"), initializer=_begin, initargs=self._arguments
        )

    def submit(self, unit: Unit, given: Given) -> Future[Result]:
        """Start the unit in a worker."""
        with _sigint_ignored():  # a worker inherits this: Ctrl-C is the parent's to handle
            return self._pool.submit(_work, unit, given)

    def restart(self) -> None:
        """A fresh pool; that of the dead worker is broken for good."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._pool = self._start()

    def close(self, *, at_once: bool = False) -> None:
        """Let the workers end, or terminate them."""
        if at_once:
            for process in list(getattr(self._pool, "_processes", None) or {}):
                with suppress(ProcessLookupError):
                    os.kill(process, signal.SIGTERM)
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._folder.cleanup()


@dataclass(frozen=True, slots=True)
class _Shared:
    """A context on its way to the workers: tensors go through one memory-mapped file, not through pipes."""

    context: Context
    file: Path
    has_train: bool
    has_pool: bool

    @classmethod
    def write(cls, context: Context, file: Path) -> "_Shared":
        data = context.data
        parts = {"train": data.train, "test": data.test, "pool": data.pool}
        tensors = {
            f"{name}.{axis}": tensor.contiguous()
            for name, part in parts.items()
            if part is not None
            for axis, tensor in (("x", part.x), ("y", part.y))
        }
        try:
            save_file(tensors, file)
        except (OSError, SafetensorError) as error:
            raise IncompleteError(
                f"{file.parent}: the data cannot be written there, for the workers to read: {error}; make "
                "room, set TMPDIR to a folder that has some, or run with --engine inline"
            ) from None
        empty = Examples(torch.empty(0), torch.empty(0))
        bare = Data(None, empty, None, data.classes, data.bounds, data.digest)
        return cls(
            Context(context.plan, bare, context.out, context.device),
            file,
            data.train is not None,
            data.pool is not None,
        )

    def read(self) -> Context:
        tensors = load_file(self.file)
        bare = self.context.data

        def part(name: str) -> Examples:
            return Examples(tensors[f"{name}.x"], tensors[f"{name}.y"])

        data = Data(
            part("train") if self.has_train else None, part("test"), part("pool") if self.has_pool else None,
            bare.classes, bare.bounds, bare.digest,
        )  # fmt: skip
        return Context(self.context.plan, data, self.context.out, self.context.device)


_context: Context | None = None


def _begin(shared: _Shared) -> None:
    """Set a worker up: one thread, no answer to Ctrl-C, and an end when the parent is gone."""
    global _context
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_die_with_parent, daemon=True).start()
    torch.set_num_threads(1)
    _context = shared.read()


def _die_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _work(unit: Unit, given: Given) -> Result:
    assert _context is not None
    return perform(unit, given, _context)


@contextmanager
def _sigint_ignored() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
