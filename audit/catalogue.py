"""What there is to choose from, by kind: name → one line."""

import inspect

from attacks.registry import RegistryError, attacks, probes
from audit import zoo
from audit.errors import PlanError
from pruning.allocation import allocations
from pruning.criteria import criteria
from pruning.methods import methods
from reports.draw.charts import charts

DATA = {
    "digits": "scikit-learn's 1 797 handwritten digits, 1×8×8, embedded",
    "torchvision:NAME": "MNIST, FashionMNIST, CIFAR10, … in [data] root; fetched only with download = true",
    "folder:PATH": "images in PATH/train/CLASS and PATH/test/CLASS; resize, crop, mode, splits, class_order",
    "npz:PATH": "x_train, y_train, x_test, y_test (images N×C×H×W, tables N×F)",
    "csv:PATH": "a table in PATH/train.csv and PATH/test.csv, or one file with a column split; label",
    "parquet:PATH": "the same in parquet, or images in Hugging Face's layout (needs the extra parquet)",
    "FILE.py:FUNCTION": "your own function, returning a dict of those four arrays, or train and test as "
    "torch's Dataset or DataLoader",
}

ART = {
    "evasion.art:NAME": "any evasion attack of the Adversarial Robustness Toolbox, such as art:DeepFool; "
    "a name that ART does not have is answered with those that it has"
}


def of(kind: str) -> dict[str, str]:
    """The entries of one kind: one of the command line's ``Listing``.

    Raises PlanError where another package's probe or attack cannot be used.
    """
    try:
        return _of(kind)
    except RegistryError as error:
        raise PlanError(f"{error}; mend or uninstall that package") from None


def _of(kind: str) -> dict[str, str]:
    if kind == "probes":
        return {name: probe.card.summary for name, probe in probes().items()}
    if kind == "attacks":
        return attacks() | ART
    if kind == "criteria":
        return {name: f"{c.summary} ({c.source})" for name, c in criteria().items()}
    if kind == "allocations":
        return {name: f"{a.summary} ({a.source})" for name, a in allocations().items()}
    if kind == "methods":
        return {name: f"{method.summary} ({method.source})" for name, method in methods().items()}
    if kind == "charts":
        return {name: chart.title for name, chart in charts().items()}
    if kind == "models":
        return _models()
    return DATA


MODELS = {
    "FILE.py:FUNCTION": "your own function, which may take num_classes and input_shape",
    "torchvision:NAME": "torchvision's classifiers",
    "timm:NAME": "timm's (needs the extra timm)",
    "hf:DIR": "a classifier of transformers in a folder of save_pretrained, with its weights, normalisation "
    "and sizes (needs the extra hf)",
    "onnx:FILE": "a black box, with trust = true (needs the extra onnx)",
    "torchscript:FILE": "a black box, with trust = true",
    "export:FILE": "a black box: a program of torch.export, with trust = true",
}


def _models() -> dict[str, str]:
    return MODELS | {
        f"audit.zoo:{name}": (inspect.getdoc(value) or "").splitlines()[0]
        for name, value in vars(zoo).items()
        if inspect.isfunction(value) and value.__module__ == zoo.__name__
    }
