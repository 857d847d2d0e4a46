"""Size and speed of all variants of one seed, measured side by side."""

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from attacks.probe import Card
from pruning import measure
from reports.ledger import MeasurementRow

CARD = Card(
    title="Size and speed",
    summary="What pruning saves: parameters, multiply-adds, bytes on disk, and time for one example.",
    threat_model="None: this is what pruning is for.",
    limits=(
        "Masked weights save no time on dense hardware, and no bytes until they are stored compressed. "
        "Latency is that of this machine, one thread, one example at a time."
    ),
    metrics=("parameters", "nonzero_parameters", "macs", "bytes", "latency"),
    papers=("Blalock et al. 2020, What is the state of neural network pruning?",),
    ids=(),
)


def measure_all(
    models: Mapping[str, nn.Module], files: Mapping[str, Path], replicate: int, example: Tensor, device: str
) -> list[MeasurementRow]:
    """Five rows per model. Latencies are interleaved, so that the machine's moods hit all models alike.

    ``models`` and ``files`` (their weights as stored) go by variant name; ``example``: (1, …). Latency is in
    milliseconds, with an interval; counts are exact.
    """
    found = []
    times = measure.latency({name: model.to(device) for name, model in models.items()}, example.to(device))
    for name, model in models.items():
        size = measure.size(model.to("cpu"), example)
        counts = {
            "parameters": size.parameters,
            "nonzero_parameters": size.nonzero_parameters,
            "macs": size.macs,
            "bytes": files[name].stat().st_size,
        }
        for metric, count in counts.items():
            found.append(MeasurementRow(name, replicate, "cost", metric, {}, count, count, count, 1))
        time = times[name]
        found.append(
            MeasurementRow(
                name, replicate, "cost", "latency", {"batch": 1}, time.median_ms, time.low_ms, time.high_ms,
                time.n, note="milliseconds",
            )
        )  # fmt: skip
    return found
