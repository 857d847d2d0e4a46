"""Makes the pinned table beside it: a tiny net, and what the reference AutoAttack leaves of 100 digits.

    pip install git+https://github.com/fra31/auto-attack
    python tests/attacks/reference/make.py

The net (3 KB, `net.safetensors`) is trained on the first 1 200 of scikit-learn's digits in the order of
`examples`, its pruned twin keeps the largest tenth of the weights and is fine-tuned. `autoattack.json` holds,
for both nets, norm and ε, one character an example: 1 where it stands.
"""

import json
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from sklearn.datasets import load_digits
from torch import Tensor, nn

HERE = Path(__file__).parent
EPS = {"Linf": (0.05, 0.1, 0.15), "L2": (0.3, 0.6)}


def net() -> nn.Module:
    """4 filters and a linear layer: 690 parameters."""
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(64, 10)
    )


def examples() -> tuple[Tensor, Tensor]:
    """All digits in a fixed random order: images in [0, 1], labels."""
    data = load_digits()
    order = torch.randperm(len(data.target), generator=torch.Generator().manual_seed(0))
    images = torch.tensor(data.images, dtype=torch.float32).div(16).unsqueeze(1)
    return images[order], torch.tensor(data.target, dtype=torch.int64)[order]


def nets() -> dict[str, nn.Module]:
    """The committed nets."""
    tensors = load_file(HERE / "net.safetensors")
    found = {}
    for name in ("dense", "pruned"):
        found[name] = net()
        found[name].load_state_dict(
            {key.removeprefix(f"{name}/"): value for key, value in tensors.items() if key.startswith(name)}
        )
        found[name].eval().requires_grad_(False)
    return found


def _fit(model: nn.Module, masks: dict[str, Tensor], epochs: int) -> None:
    x, y = (part[:1200] for part in examples())
    optimiser = torch.optim.Adam(model.parameters(), 5e-3)
    for _ in range(epochs):
        for part in torch.randperm(1200).split(32):
            optimiser.zero_grad()
            F.cross_entropy(model(x[part]), y[part]).backward()
            optimiser.step()
            with torch.no_grad():
                for name, mask in masks.items():
                    model.get_parameter(name).mul_(mask)


def _train() -> None:
    torch.manual_seed(0)
    model, tensors = net(), {}
    _fit(model, {}, 40)
    tensors |= {f"dense/{name}": value.clone() for name, value in model.state_dict().items()}
    weights = {name: value for name, value in model.named_parameters() if name.endswith("weight")}
    ranked = torch.cat([value.detach().abs().flatten() for value in weights.values()]).sort().values
    masks = {name: (value.detach().abs() >= ranked[-len(ranked) // 10]) for name, value in weights.items()}
    _fit(model, masks, 20)
    tensors |= {f"pruned/{name}": value.clone() for name, value in model.state_dict().items()}
    save_file(tensors, HERE / "net.safetensors")


def main() -> None:
    """Train unless the nets are there, attack, write."""
    from autoattack import AutoAttack

    if not (HERE / "net.safetensors").exists():
        _train()
    x, y = (part[-100:] for part in examples())
    table = []
    for name, model in nets().items():
        for norm, radii in EPS.items():
            for eps in radii:
                attack = AutoAttack(model, norm=norm, eps=eps, version="standard", device="cpu", seed=0)
                standing = model(attack.run_standard_evaluation(x, y, bs=100)).argmax(dim=1) == y
                text = "".join(str(int(flag)) for flag in standing)
                table.append({"net": name, "norm": norm.lower(), "eps": eps, "standing": text})
    lines = ",\n".join(json.dumps(row) for row in table)
    (HERE / "autoattack.json").write_text(f"[\n{lines}\n]\n", encoding="utf-8")


if __name__ == "__main__":
    main()
