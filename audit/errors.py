"""Errors that are the user's to mend: one clear message and an exit code, never a traceback."""


class AuditError(Exception):
    """Base of every error with a message meant for the user."""

    exit_code = 2


class PlanError(AuditError):
    """The plan, or the way the command was used, is wrong (exit code 2)."""


class IncompleteError(AuditError):
    """The run lacks units, or cannot be compared (exit code 4)."""

    exit_code = 4


class RefusedError(AuditError):
    """The model or the data cannot be audited (exit code 5)."""

    exit_code = 5


INTERNAL = 70
"""Exit code of a mistake of ours (EX_SOFTWARE in sysexits.h); never 1, which says that the gate failed."""
