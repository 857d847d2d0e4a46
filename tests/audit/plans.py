"""A plan small enough to run in seconds, and plans as TOML."""

import json
from typing import Any

TINY: dict[str, Any] = {
    "model": {"build": "audit.zoo:digits_cnn"},
    "data": {"source": "digits", "train_examples": 100, "audit_examples": 40},
    "train": {"epochs": 3, "batch_size": 32, "learning_rate": 2e-3},
    "pruning": {
        "methods": ["global-magnitude", "filter-l2"],
        "sparsities": [0.5],
        "seeds": [0],
        "finetune_epochs": 1,
    },
    "probes": {
        "evasion": {"level": "quick", "eps": [0.05, 0.2], "steps": 5, "transfer": True},
        "extraction": {"level": "quick", "queries": [50], "epochs": 1},
        "membership": {"level": "quick", "references": 2},
        "tampering": {"level": "quick", "draws": 2, "flips": 3},
    },
}


def toml(table: dict[str, Any]) -> str:
    """Tables of plain values as TOML: JSON is TOML for scalars and flat arrays of them."""
    lines = []

    def emit(name: str, value: dict[str, Any]) -> None:
        lines.append(f"[{name}]")
        nested = {k: v for k, v in value.items() if isinstance(v, dict)}
        lines.extend(f"{k} = {json.dumps(v)}" for k, v in value.items() if k not in nested)
        for key, inner in nested.items():
            emit(f"{name}.{key}", inner)

    for name, value in table.items():
        if isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
            for item in value:
                lines.append(f"[[{name}]]")
                lines.extend(f"{k} = {json.dumps(v)}" for k, v in item.items())
        elif isinstance(value, dict):
            emit(name, value)
        else:
            lines.insert(0, f"{name} = {json.dumps(value)}")
    return "\n".join(lines) + "\n"
