"""The user's own code, named in the plan as FILE.py:FUNCTION or package.module:FUNCTION."""

import importlib
import importlib.util
from collections.abc import Callable
from typing import Any

from attacks.evasion import adaptive_problem
from audit.errors import PlanError, RefusedError
from audit.plan import Plan


def adaptive(plan: Plan) -> Callable[..., Any] | None:
    """The user's own evasion attack, if the plan has one. Raises as :func:`function_of`; and PlanError for
    one that asks for what it is not offered."""
    spec = plan.probes.get("evasion", {}).get("adaptive")
    if spec is None:
        return None
    function = function_of(plan, spec, "[probes.evasion] adaptive")
    if wrong := adaptive_problem(function):
        raise PlanError(f"[probes.evasion] adaptive {spec!r}: {wrong}")
    return function


def function_of(plan: Plan, spec: str, key: str) -> Callable[..., Any]:
    """The function that ``spec`` names; ``key`` is the plan's key, for the error.

    Raises PlanError if there is no such file, module or function, RefusedError if the file does not load.
    """
    source, _, name = spec.partition(":")
    if not name:
        raise PlanError(f"{key} {spec!r}: want FILE.py:FUNCTION or package.module:FUNCTION")
    try:
        if source.endswith(".py"):
            path = plan.folder / source
            if not path.is_file():
                raise PlanError(f"{key} {spec!r}: {path}: no such file")
            found = importlib.util.spec_from_file_location(f"_plan_{path.stem}", path)
            if found is None or found.loader is None:
                raise PlanError(f"{key} {spec!r}: {path}: not a Python file")
            module = importlib.util.module_from_spec(found)
            found.loader.exec_module(module)
        else:
            module = importlib.import_module(source)
    except PlanError:
        raise
    except ModuleNotFoundError as error:
        raise PlanError(f"{key} {spec!r}: {error}") from None
    except Exception as error:
        raise RefusedError(f"{key} {spec!r}: does not load: {type(error).__name__}: {error}") from error
    function = getattr(module, name, None)
    if not callable(function):
        raise PlanError(f"{key} {spec!r}: {source} has no function {name!r}")
    return function  # type: ignore[no-any-return]
