"""The user's own code, named in the plan as FILE.py:FUNCTION or package.module:FUNCTION."""

import functools
import importlib
import importlib.util
import sys
from collections.abc import Callable
from contextlib import chdir, suppress
from pathlib import Path
from typing import Any

from attacks.evasion import adaptive_problem
from audit.errors import PlanError, RefusedError
from audit.plan import Plan
from audit.subject import vision


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

    The plan's folder can be imported from (last, so that it shadows nothing), and relative paths in the
    user's code start there.

    Raises PlanError if there is no such file, module or function, RefusedError if the file does not load.
    """
    source, _, name = spec.partition(":")
    if not name:
        raise PlanError(f"{key} {spec!r}: want FILE.py:FUNCTION or package.module:FUNCTION")
    folder = plan.folder.resolve()
    _reach(folder)
    if source.endswith(".py") and not (folder / source).is_file():
        raise PlanError(f"{key} {spec!r}: {folder / source}: no such file")
    try:
        with chdir(folder):
            module = _loaded(folder, source)
    except PlanError:
        raise
    except ModuleNotFoundError as error:
        raise PlanError(f"{key} {spec!r}: {error}") from None
    except (Exception, SystemExit) as error:  # a script that reads its command line exits
        raise RefusedError(f"{key} {spec!r}: does not load: {type(error).__name__}: {error}") from error
    function = getattr(module, name, None)
    if not callable(function):
        raise PlanError(f"{key} {spec!r}: {source} has no function {name!r}")

    @functools.wraps(function)
    def there(*arguments: Any, **named: Any) -> Any:
        with chdir(folder):
            return function(*arguments, **named)

    return there


_reached: list[str] = []
"""The folder of the last plan, where it is on the import path by us."""


def _reach(folder: Path) -> None:
    """Make a plan's folder importable, last; and that of an earlier plan no longer."""
    if _reached and _reached[-1] != str(folder):
        with suppress(ValueError):
            sys.path.remove(_reached.pop())
    if str(folder) not in sys.path:
        sys.path.append(str(folder))
        _reached[:] = [str(folder)]


def _loaded(folder: Path, source: str) -> Any:
    """A file or an importable module; where its import of torchvision fails beside this torch, once more with
    ours mended (preflight then says how to mend it for good)."""
    try:
        return _module(folder / source) if source.endswith(".py") else importlib.import_module(source)
    except (RuntimeError, ImportError) as error:
        if not _of_torchvision(error):
            raise
        vision.torchvision()
        return _module(folder / source) if source.endswith(".py") else importlib.import_module(source)


def _of_torchvision(error: BaseException | None) -> bool:
    """Whether an import failed since torchvision does not fit this torch; transformers says so only in what
    its own error came from."""
    return error is not None and (
        "torchvision::nms" in str(error) or _of_torchvision(error.__cause__ or error.__context__)
    )


def _module(path: Path) -> Any:
    """A file as a module, anew each time."""
    name = f"_plan_{path.stem}"
    found = importlib.util.spec_from_file_location(name, path)
    if found is None or found.loader is None:
        raise PlanError(f"{path}: not a Python file")
    module = importlib.util.module_from_spec(found)
    sys.modules[name] = module  # dataclasses and pickles look there
    found.loader.exec_module(module)
    return module
