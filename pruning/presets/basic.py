"""By size, and by chance: what every other method is compared with."""

from pruning.presets import Method
from pruning.recipe import Recipe

METHODS = (
    Method(
        "global-magnitude",
        Recipe(criterion="magnitude", granularity="weight", allocation="global"),
        "zero the smallest |w| of the whole network, one threshold for all layers",
        "Han et al. 2015, arXiv:1506.02626; global threshold as in Blalock et al. 2020, arXiv:2003.03033",
    ),
    Method(
        "layer-magnitude",
        Recipe(criterion="magnitude", granularity="weight", allocation="uniform"),
        "zero the smallest |w| of each layer, the same share everywhere",
        "Han et al. 2015, arXiv:1506.02626; uniform shares as in Blalock et al. 2020, arXiv:2003.03033",
    ),
    Method(
        "random",
        Recipe(criterion="random", granularity="weight", allocation="global"),
        "zero weights by chance: the control for every weight criterion",
        "Blalock et al. 2020, arXiv:2003.03033",
    ),
    Method(
        "filter-l1",
        Recipe(criterion="magnitude", granularity="unit", allocation="uniform", norm="l1"),
        "remove the filters and neurons of smallest L1 norm, the same share of each layer; really smaller",
        "Li et al. 2017, arXiv:1608.08710",
    ),
    Method(
        "filter-l2",
        Recipe(criterion="magnitude", granularity="unit", allocation="uniform", norm="l2"),
        "remove the filters and neurons of smallest L2 norm, the same share of each layer; really smaller",
        "Li et al. 2017, arXiv:1608.08710 (with L1); L2 as in He et al. 2018, arXiv:1808.06866",
    ),
    Method(
        "filter-random",
        Recipe(criterion="random", granularity="unit", allocation="uniform"),
        "remove filters and neurons by chance: the control for every unit criterion",
        "Blalock et al. 2020, arXiv:2003.03033",
    ),
    Method(
        "private-magnitude",
        Recipe(criterion="magnitude", granularity="weight", allocation="global", balancing=4.0),
        "global-magnitude, fine-tuned so that members and others are answered with like certainty",
        "Yuan & Zhang 2022 (pair-based posterior balancing), arXiv:2202.03335",
    ),
)
