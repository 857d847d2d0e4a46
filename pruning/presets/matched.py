"""Controls that differ from a method in its choice only: by chance, as many of each layer as it takes."""

from pruning.presets import Method
from pruning.presets.basic import METHODS as BASIC
from pruning.presets.criteria import METHODS as CRITERIA
from pruning.recipe import Recipe

_KNOWN = {method.name: method.recipe for method in (*BASIC, *CRITERIA)}

METHODS = (
    Method(
        "random-like-global-magnitude",
        Recipe(criterion="random", like=_KNOWN["global-magnitude"]),
        "zero weights by chance, of each layer as many as global-magnitude: its control",
        "Frankle et al. 2021, arXiv:2009.08576",
    ),
    Method(
        "small-dense",
        Recipe(criterion="random", granularity="unit", allocation="uniform", rewind="weights"),
        "a dense network of that size from the start: units gone by chance, the rest as it was initialised, "
        "then the whole training",
        "Liu et al. 2019, arXiv:1810.05270",
    ),
    Method(
        "filter-random-like-taylor",
        Recipe(criterion="random", granularity="unit", like=_KNOWN["filter-taylor"]),
        "remove units by chance, of each layer as many as filter-taylor: its control",
        "Frankle et al. 2021, arXiv:2009.08576",
    ),
)
