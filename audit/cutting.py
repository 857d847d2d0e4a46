"""How work over examples is cut: into blocks, which decide the last bits, and shards of whole blocks.

A block is fixed by the model's size and the probe's settings, never by the machine: figures must not depend
on it. A shard is as many blocks as take about :data:`AIM` seconds on the machine at hand, a power of two of
them; whatever the shards, the figures are the same.
"""

import math
from dataclasses import dataclass

NOMINAL = 2e10
"""Multiply-adds a second that blocks are made for: one core's, in order of magnitude."""
BLOCK_SECONDS = 60.0
"""What a block would take at that speed, at most, where it has more than one example."""
LARGEST = 1024
"""Examples of a block, at most."""
AIM = 30.0
"""Seconds of a shard on one core of the machine at hand, in order of magnitude."""


@dataclass(frozen=True, slots=True)
class Cutting:
    """What cuts follow from."""

    macs: int = 0
    """Multiply-adds of a forward pass of the dense model, one example."""
    seconds: float = 0.0
    """That one forward and backward pass of one example takes on this machine; 0: nothing is cut."""
    aim: float = AIM

    def block(self, passes: float) -> int:
        """Examples of a block, a power of two; ``passes``: forward and backward, that an example takes."""
        each = 3 * self.macs * passes / NOMINAL  # a pass backward is twice one forward
        return _power(BLOCK_SECONDS / each) if each else LARGEST

    def shards(self, examples: int, passes: float) -> list[range]:
        """The ranges that so many examples are cut into; a single one where they do not take long."""
        block = self.block(passes)
        each = self.seconds * passes
        size = examples if each == 0 else block * _power(self.aim * math.sqrt(2) / (each * block), examples)
        if size == 0 or examples <= size or each * examples < 2 * self.aim:
            return [range(examples)]
        return [range(start, min(start + size, examples)) for start in range(0, examples, size)]


def _power(value: float, most: float = LARGEST) -> int:
    """The largest power of two that is not above ``value`` or ``most``; at least 1."""
    return int(2 ** math.floor(math.log2(max(1.0, min(value, most)))))


WHOLE = Cutting()
