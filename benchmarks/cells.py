"""Finished cells of a table, a line of JSON each, so that a long benchmark goes on where it stopped."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from attacks.probe import Measurement


class Cells:
    """Cells by their conditions; kept in a file as they are finished, where one is named."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        lines = path.read_text(encoding="utf-8").splitlines() if path is not None and path.exists() else []
        self._known: dict[str, list[dict[str, Any]]] = {
            _key(cell["of"]): cell["rows"] for cell in map(json.loads, lines)
        }

    def __getitem__(self, of: Mapping[str, Any]) -> list[dict[str, Any]]:
        return self._known[_key(of)]

    def __contains__(self, of: Mapping[str, Any]) -> bool:
        return _key(of) in self._known

    def add(self, of: Mapping[str, Any], rows: list[dict[str, Any]]) -> None:
        """Keep what was measured under these conditions."""
        self._known[_key(of)] = rows
        if self._path is not None:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"of": of, "rows": rows}) + "\n")


def plain(row: Measurement) -> dict[str, Any]:
    """What a table needs of a row."""
    return {
        "metric": row.metric, "at": dict(row.at), "note": row.note,
        **{end: None if value is None else float(np.float64(value))
           for end, value in (("value", row.value), ("low", row.low), ("high", row.high))},
    }  # fmt: skip


def _key(of: Mapping[str, Any]) -> str:
    return json.dumps(of, sort_keys=True)
