"""By layer: magnitude, its budget spent in other ways than by one ranking or by equal shares."""

from pruning.presets import Method
from pruning.recipe import Recipe

METHODS = (
    Method(
        "layerwise",
        Recipe(allocation="layerwise"),
        "zero the smallest |w| layer by layer, first those whose loss on training data rises least",
        "sensitivity as in Han et al. 2015, arXiv:1506.02626",
    ),
    Method(
        "filter-layerwise",
        Recipe(granularity="unit", allocation="layerwise"),
        "remove the units of smallest L2 norm layer by layer, the least sensitive first; really smaller",
        "sensitivity as in Li et al. 2017, arXiv:1608.08710",
    ),
    Method(
        "erk",
        Recipe(allocation="erk"),
        "zero the smallest |w|, layers as dense as Erdős–Rényi kernels: small ones stay denser",
        "Evci et al. 2020, arXiv:1911.11134",
    ),
    Method(
        "lamp",
        Recipe(allocation="lamp"),
        "zero the smallest w² as a share of the layer's squares that are no smaller, one ranking",
        "Lee et al. 2021, arXiv:2010.07611",
    ),
    Method(
        "threshold",
        Recipe(threshold=0.02),
        "keep a weight where |w| > 0.02, at one sparsity, which follows; { threshold = α } for another α",
        "Han et al. 2015, arXiv:1506.02626",
    ),
)
