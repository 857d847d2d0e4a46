"""What goes wrong in this room."""


class PruningError(ValueError):
    """A request that cannot be met. The message names the layer, file or key, and what would work."""


def at_most(share: float) -> str:
    """A reachable share in four decimals, never rounded up: what is called reachable must be."""
    return f"{int(share * 10_000) / 10_000:g}"
