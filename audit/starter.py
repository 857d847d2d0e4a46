"""Writes a plan to start from: a commented one with a model stub, or one proposed from what the user has."""

from pathlib import Path

from audit.errors import PlanError

TEMPLATES = Path(__file__).parent / "plans" / "starter"


def write(
    folder: Path, model: str | None = None, weights: Path | None = None, data: Path | None = None
) -> list[Path]:
    """Write the starter files into ``folder``; with any of the others, a plan for them.

    Raises PlanError rather than write over a file.
    """
    if not (model or weights or data):
        sources = sorted(path for path in TEMPLATES.iterdir() if path.is_file())
        return _put(folder, {source.name: source.read_text(encoding="utf-8") for source in sources})
    from audit import proposal

    text = proposal.plan(folder, model, weights, data)
    files = {"plan.toml": text}
    if 'build = "my_model.py:build"' in text and not (folder / "my_model.py").exists():
        files["my_model.py"] = (
            (TEMPLATES / "my_model.py").read_text(encoding="utf-8")
            if weights is None
            else proposal.stub(proposal.shapes(weights))
        )
    return _put(folder, files)


def _put(folder: Path, files: dict[str, str]) -> list[Path]:
    for name in files:
        if (folder / name).exists():
            raise PlanError(f"{folder / name}: exists already; move it, or choose another folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (folder / name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise PlanError(f"{folder}: cannot be written: {error}") from None
    return [folder / name for name in files]
