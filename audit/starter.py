"""Writes a commented plan and a model stub for the user to start from."""

from pathlib import Path

from audit.errors import PlanError

TEMPLATES = Path(__file__).parent / "plans" / "starter"


def write(folder: Path) -> list[Path]:
    """Copy the starter files into ``folder``. Raises PlanError rather than write over a file."""
    sources = sorted(path for path in TEMPLATES.iterdir() if path.is_file())
    for source in sources:
        if (folder / source.name).exists():
            raise PlanError(f"{folder / source.name}: exists already; move it, or choose another folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for source in sources:
            (folder / source.name).write_text(source.read_text(encoding="utf-8"), encoding="utf-8")
    except OSError as error:
        raise PlanError(f"{folder}: cannot be written: {error}") from None
    return [folder / source.name for source in sources]
