"""By what the model does, with training data or without: the criteria other than size."""

from pruning.presets import Method
from pruning.recipe import Recipe

METHODS = (
    Method(
        "taylor",
        Recipe(criterion="taylor"),
        "zero the weights of smallest |w|·E|∂ℓ/∂w| on training data: one ranking",
        "first order as in Mozer & Smolensky 1989; cf. Molchanov et al. 2019, arXiv:1906.10771",
    ),
    Method(
        "snip",
        Recipe(criterion="snip"),
        "zero the weights of smallest connection sensitivity, judged on the model as it is given",
        "Lee et al. 2019, arXiv:1810.02340",
    ),
    Method(
        "fisher",
        Recipe(criterion="fisher"),
        "zero the weights of smallest ½·w²·F, Optimal Brain Damage with the empirical Fisher diagonal F",
        "LeCun et al. 1990; Theis et al. 2018, arXiv:1801.05787",
    ),
    Method(
        "wanda",
        Recipe(criterion="wanda", allocation="row"),
        "zero the weights of smallest |w|·‖x‖ in each row, x what the layer reads on training data",
        "Sun et al. 2024, arXiv:2306.11695",
    ),
    Method(
        "synflow",
        Recipe(criterion="synflow"),
        "zero the weights that pass the least flow, in 100 rounds; needs no data",
        "Tanaka et al. 2020, arXiv:2006.05467",
    ),
    Method(
        "filter-taylor",
        Recipe(criterion="taylor", granularity="unit"),
        "remove the units of smallest |w|·E|∂ℓ/∂w|, summed over the unit, one ranking",
        "first order as in Mozer & Smolensky 1989; cf. Molchanov et al. 2019, arXiv:1906.10771",
    ),
    Method(
        "filter-taylor-2017",
        Recipe(criterion="taylor_2017", granularity="unit"),
        "remove the units of smallest E|Σ a·∂ℓ/∂a| of their feature maps, normalised by layer; one ranking",
        "Molchanov et al. 2017, arXiv:1611.06440",
    ),
    Method(
        "filter-taylor-2019",
        Recipe(criterion="taylor_2019", granularity="unit"),
        "remove the units of smallest E[(Σ w·∂ℓ/∂w)²], a unit's weights together; one ranking",
        "Molchanov et al. 2019, arXiv:1906.10771",
    ),
    Method(
        "filter-fisher",
        Recipe(criterion="fisher", granularity="unit"),
        "remove the units of smallest ½·w²·F, summed over the unit, one ranking; really smaller",
        "Theis et al. 2018, arXiv:1801.05787",
    ),
    Method(
        "filter-apoz",
        Recipe(criterion="apoz", granularity="unit", allocation="uniform"),
        "remove the units that are zero most often on training data, the same share of each layer",
        "Hu et al. 2016, arXiv:1607.03250 (APoZ)",
    ),
)
