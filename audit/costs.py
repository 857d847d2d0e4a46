"""Size and speed of all variants of one seed, measured side by side."""

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from attacks.probe import Card
from audit.subject.black_box import BlackBox
from pruning import measure, storage
from reports.data.ledger import MeasurementRow

CARD = Card(
    title="Size and speed",
    summary="What pruning saves: parameters, multiply-adds, bytes on disk, and time for one example.",
    threat_model="None: this is what pruning is for.",
    limits=(
        "Masked weights save no time on dense hardware, and no bytes until they are stored compressed; "
        "multiply-adds without the zeros are what perfect sparse kernels would do. "
        "Latency is that of this machine, one thread, one example at a time."
    ),
    metrics=(
        "parameters",
        "nonzero_parameters",
        "macs",
        "nonzero_macs",
        "bytes",
        "gzip_bytes",
        "compressed_bytes",
        "layer_sparsity",
        "latency",
    ),
    papers=("Blalock et al. 2020, What is the state of neural network pruning?",),
    ids=(),
)


LAYERS = 100
"""Sparsity is told of so many layers, the largest."""


def measure_all(
    models: Mapping[str, nn.Module],
    files: Mapping[str, Path],
    dense: Mapping[str, int],
    replicate: int,
    example: Tensor,
    device: str,
) -> list[MeasurementRow]:
    """Size and speed of each model. Latencies are interleaved, so that the machine's moods hit all alike.

    ``models`` and ``files`` (their weights as stored) go by variant name; ``dense``: layer → its prunable
    weights in the dense model; ``example``: (1, …). Latency is in milliseconds, with an interval; counts are
    exact.
    """
    found = []
    times = measure.latency({name: model.to(device) for name, model in models.items()}, example.to(device))
    for name, model in models.items():
        size = measure.size(model.to("cpu"), example)
        stored = measure.file_sizes(model, files[name], storage.read(files[name])[0])
        counts = {
            "parameters": size.parameters,
            "nonzero_parameters": size.nonzero_parameters,
            "macs": size.macs,
            "nonzero_macs": size.nonzero_macs,
            "bytes": stored["dense"],
            "gzip_bytes": stored["gzip"],
            "compressed_bytes": stored["compressed"],
        }
        opaque = next((part for part in model.modules() if isinstance(part, BlackBox)), None)
        if opaque is not None:
            counts = {"bytes": opaque.size}
            found += [
                MeasurementRow(name, replicate, "cost", metric, status="not_applicable", note="a black box")
                for metric in ("parameters", "nonzero_parameters", "macs", "nonzero_macs")
            ]
        for metric, count in counts.items():
            found.append(MeasurementRow(name, replicate, "cost", metric, {}, count, count, count, 1))
        told = set(sorted(dense, key=lambda layer: -dense[layer])[:LAYERS])
        for layer, share in measure.layer_sparsity(model, dense).items():
            if layer in told:
                at = {"layer": layer}
                at, n = {"layer": layer}, dense[layer]
                found.append(
                    MeasurementRow(name, replicate, "cost", "layer_sparsity", at, share, share, share, n)
                )
        time = times[name]
        found.append(
            MeasurementRow(
                name, replicate, "cost", "latency", {"batch": 1}, time.median_ms, time.low_ms, time.high_ms,
                time.n, note="milliseconds",
            )
        )  # fmt: skip
    return found
