"""Values and text as every export may carry them: no NaN, no character that a reader's parser refuses."""

import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any
from urllib.parse import quote

import pandas as pd

from reports.results import Results
from reports.words import shown

_ILLEGAL = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 and YAML forbid."""
SHA256 = re.compile(r"[0-9a-f]{64}")


def plain(text: object, limit: int = 200) -> str:
    """Text on one line, without invisible or direction-turning characters, at most ``limit`` long."""
    return _ILLEGAL.sub("\N{REPLACEMENT CHARACTER}", shown(text, limit))


def value(found: Any) -> Any:
    """A JSON value: None for NaN and infinities, tables and lists gone through."""
    if isinstance(found, Mapping):
        return {str(key): value(item) for key, item in found.items()}
    if isinstance(found, Sequence) and not isinstance(found, str | bytes):
        return [value(item) for item in found]
    if found is None or isinstance(found, bool | str):
        return found
    if pd.isna(found) or (isinstance(found, float) and not math.isfinite(found)):
        return None
    return found.item() if hasattr(found, "item") else found


def dumps(document: Any, *, indent: int | None = 2) -> str:
    """JSON, the same bytes for the same document; ASCII, so that nothing in it turns its reader's text."""
    return json.dumps(value(document), indent=indent, allow_nan=False, ensure_ascii=True) + "\n"


def version(results: Results) -> str:
    """The version of prune-audit that made the run, empty if it is not recorded."""
    environment = results.about.get("environment")
    found = environment.get("prune-audit") if isinstance(environment, Mapping) else None
    return plain(found or "", 40)


def digests(results: Results, variant: str) -> dict[int, str]:
    """SHA-256 of a variant's model files by seed, where they are known."""
    rows = results.variants[results.variants["variant"] == variant]
    pairs = zip(rows["seed"], rows["digest"], strict=True)
    return {int(seed): digest for seed, digest in pairs if SHA256.fullmatch(str(digest))}


def uri(file: str) -> str:
    """A relative path stays relative to the repository, as GitHub wants it."""
    if PurePosixPath(file).is_absolute() or PureWindowsPath(file).is_absolute():
        return "file:///" + quote(file.lstrip("/"), safe="/:")
    return quote(file, safe="/")
