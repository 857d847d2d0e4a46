"""The audit: plans a run, makes the variants, probes them and writes the results file.

From Python: ``from audit import audit`` (:mod:`audit.api`).
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from audit.api import Run, audit

__version__ = "0.1.0"
__all__ = ["Run", "__version__", "audit"]


def __getattr__(name: str) -> Any:
    """Heavy imports wait until they are asked for."""
    if name in ("Run", "audit"):
        from audit import api

        return getattr(api, name)
    raise AttributeError(f"module 'audit' has no attribute {name!r}")
