"""Files made to break: bytes flipped, cut, repeated; values of a plan replaced; pickles that would act."""

import io
import json
import pickle
import random
import sqlite3
import struct
import zipfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file

from audit.zoo import digits_cnn

VALUES: list[Any] = [
    -1, 0, 1, 10**30, -(10**30), 0.0, -0.5, 1e308, float("nan"), float("inf"), True, False, "", " ", "\n",
    "../..", "/etc/passwd", "a\x00b", "x" * 10_000, "</script>", "%s%n", "𝕏", [], [[]], {}, {"a": 1}, [0.5],
    "dense", "0/0", "1/0", "8/255", "digits", "npz:nowhere.npz", "torch", "inf",
]  # fmt: skip
"""What nobody writes into a plan, until somebody does."""


class Acts:
    """A pickle of it creates a file when it is loaded."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[Any, ...]:
        return (open, (str(self.canary), "w"))


def bytewise(content: bytes, luck: random.Random) -> bytes:
    """One to four random changes of a file's bytes."""
    found = bytearray(content)
    for _ in range(luck.randint(1, 4)):
        at = luck.randrange(len(found) + 1)
        some = luck.randint(1, 1 + len(found) // luck.choice([2, 20, 200]))
        match luck.randrange(6):
            case 0:
                del found[at:]
            case 1:
                del found[at : at + some]
            case 2:
                found[at:at] = found[at : at + some]
            case 3:
                found[at:at] = luck.randbytes(luck.randint(1, 40))
            case 4 if at < len(found):
                found[at] ^= 1 << luck.randrange(8)
            case _:
                found[at : at + 8] = b"\xff" * 8
    return bytes(found)


def replaced(table: dict[str, Any], luck: random.Random) -> dict[str, Any]:
    """One to three of a plan's values, or its keys, by what nobody expects there."""
    places = [(table, key) for key in table]
    for section in list(table.values()):
        if isinstance(section, dict):
            places += [(section, key) for key in section]
    for _ in range(luck.randint(1, 3)):
        holder, key = luck.choice(places)
        if luck.random() < 0.2:
            holder[luck.choice(["", "a b", "name", "folder", "é", key + "s"])] = luck.choice(VALUES)
        elif luck.random() < 0.2:
            holder.pop(key, None)
        else:
            holder[key] = luck.choice(VALUES)
    return table


def weights(path: Path) -> None:
    """A checkpoint that fits ``audit.zoo:digits_cnn``."""
    torch.manual_seed(0)
    save_file(digits_cnn(num_classes=10, input_shape=(1, 8, 8)).state_dict(), path)


def header(change: Callable[[dict[str, Any]], None], content: bytes) -> bytes:
    """A safetensors file with another header."""
    (length,) = struct.unpack("<Q", content[:8])
    told = json.loads(content[8 : 8 + length])
    change(told)
    text = json.dumps(told).encode()
    return struct.pack("<Q", len(text)) + text + content[8 + length :]


def _first(told: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = next(value for key, value in told.items() if key != "__metadata__")
    return found


def bad_safetensors(content: bytes) -> dict[str, bytes]:
    """Named ways in which such a file lies about itself."""
    return {
        "no bytes": b"",
        "header of exabytes": struct.pack("<Q", 2**60) + content[8:],
        "negative shape": header(lambda t: _first(t).update(shape=[-1, 3]), content),
        "huge shape": header(lambda t: _first(t).update(shape=[2**40, 2**40]), content),
        "offsets beyond the end": header(lambda t: _first(t).update(data_offsets=[0, 2**50]), content),
        "offsets turned round": header(lambda t: _first(t).update(data_offsets=[64, 0]), content),
        "unknown dtype": header(lambda t: _first(t).update(dtype="F7"), content),
        "metadata of numbers": header(lambda t: t.update(__metadata__={"a": 1}), content),
        "removals that are none": header(lambda t: t.update(__metadata__={"removals": "[[["}), content),
        "deep nesting": struct.pack("<Q", 200_000) + b"[" * 200_000,
    }


def bad_checkpoints(canary: Path) -> dict[str, bytes]:
    """Files of other kinds in place of weights, two of which would act if they were unpickled."""
    saved = io.BytesIO()
    torch.save({"state_dict": {"a": Acts(canary)}}, saved)
    legacy = io.BytesIO()
    torch.save(Acts(canary), legacy, _use_new_zipfile_serialization=False)
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", b"\0" * 10_000_000)
    return {
        "a pickle that acts, as torch saves": saved.getvalue(),
        "a pickle that acts, as old torch saves": legacy.getvalue(),
        "a plain pickle that acts": pickle.dumps(Acts(canary)),
        "a zip that is not torch's": bomb.getvalue(),
        "text": b"weights = none\n",
    }


def arrays(**changed: Any) -> bytes:
    """An npz file of images, with arrays replaced; ``None`` leaves one out."""
    rng = np.random.default_rng(0)
    found: dict[str, Any] = {
        "x_train": rng.random((60, 1, 8, 8), dtype=np.float32),
        "y_train": np.arange(60) % 10,
        "x_test": rng.random((40, 1, 8, 8), dtype=np.float32),
        "y_test": np.arange(40) % 10,
    } | changed
    buffer = io.BytesIO()
    np.savez(buffer, **{name: array for name, array in found.items() if array is not None})
    return buffer.getvalue()


def bad_arrays(canary: Path) -> dict[str, bytes]:
    """Data that nobody can audit."""
    acts = np.empty(40, dtype=object)
    acts[:] = [Acts(canary)] * 40
    nan = np.full((40, 1, 8, 8), np.nan, dtype=np.float32)
    return {
        "an array of objects that act": arrays(y_test=acts),
        "an array of objects that act, as inputs": arrays(x_test=acts),
        "inputs that are not numbers": arrays(x_test=nan),
        "inputs out of bounds": arrays(x_test=np.full((40, 1, 8, 8), 900.0, dtype=np.float32)),
        "labels below zero": arrays(y_test=-np.ones(40, dtype=int)),
        "labels beyond the classes": arrays(y_test=np.full(40, 10**9)),
        "labels that are not whole": arrays(y_test=np.full(40, 0.5)),
        "labels as text": arrays(y_test=np.array(["a"] * 40)),
        "fewer labels than inputs": arrays(y_test=np.zeros(3, dtype=int)),
        "another shape than the model's": arrays(x_test=np.zeros((40, 3, 5, 5), np.float32)),
        "splits of two shapes": arrays(x_train=np.zeros((60, 1, 9, 9), np.float32)),
        "no test inputs": arrays(x_test=None),
        "no examples": arrays(x_test=np.zeros((0, 1, 8, 8), np.float32), y_test=np.zeros(0, int)),
        "numbers of no dimension": arrays(x_test=np.float32(1), y_test=np.int64(1)),
        "complex inputs": arrays(x_test=np.zeros((40, 1, 8, 8), complex)),
        "dates": arrays(x_test=np.zeros((40, 1, 8, 8), "datetime64[s]")),
        "not a zip": b"PK\x03\x04" + b"\0" * 100,
    }


def image_bomb() -> bytes:
    """A PNG that says it is 60 000 × 60 000."""
    small = io.BytesIO()
    Image.new("L", (8, 8)).save(small, "PNG")
    content = bytearray(small.getvalue())
    content[16:24] = struct.pack(">II", 60_000, 60_000)
    return bytes(content)


def database(path: Path, statement: str) -> None:
    """Change a results file behind its back."""
    with closing(sqlite3.connect(path)) as db:
        db.executescript(statement)
