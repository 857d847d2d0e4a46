"""Not all at once, or not for good: schedules, hardness, rewinding and recovery."""

from pruning.presets import Method
from pruning.recipe import Recipe

METHODS = (
    Method(
        "iterative-magnitude",
        Recipe(schedule="iterative"),
        "zero the smallest |w| in five rounds, each the same share of what is left, each fine-tuned in full",
        "Han et al. 2015, arXiv:1506.02626",
    ),
    Method(
        "iterative-magnitude-equal-budget",
        Recipe(schedule="iterative", epochs_per_round="shared"),
        "the same in as many epochs as a one-shot method has: five short fine-tunings",
        "Han et al. 2015, arXiv:1506.02626; equal budgets as in Blalock et al. 2020, arXiv:2003.03033",
    ),
    Method(
        "gradual-magnitude",
        Recipe(schedule="polynomial"),
        "zero the smallest |w| while fine-tuning, along a cubic schedule",
        "Zhu & Gupta 2017, arXiv:1710.01878",
    ),
    Method(
        "iterative-filter",
        Recipe(granularity="unit", allocation="uniform", schedule="iterative"),
        "remove the filters and neurons of smallest L2 norm in five rounds, fully fine-tuned after each",
        "Molchanov et al. 2017, arXiv:1611.06440 (rounds); Li et al. 2017, arXiv:1608.08710 (norm)",
    ),
    Method(
        "iterative-filter-equal-budget",
        Recipe(granularity="unit", allocation="uniform", schedule="iterative", epochs_per_round="shared"),
        "the same in as many epochs as a one-shot method has: five short fine-tunings",
        "Molchanov et al. 2017, arXiv:1611.06440; Blalock et al. 2020, arXiv:2003.03033 (equal budgets)",
    ),
    Method(
        "lottery-ticket",
        Recipe(schedule="iterative", rewind="weights"),
        "iterative magnitude; what is left goes back to its initial weights and is trained from the start",
        "Frankle & Carbin 2019, arXiv:1803.03635",
    ),
    Method(
        "late-ticket",
        Recipe(schedule="iterative", rewind="weights", rewind_to=0.05),
        "a lottery ticket that goes back to the weights after a twentieth of the training",
        "Frankle et al. 2020, arXiv:1912.05671",
    ),
    Method(
        "lr-rewind",
        Recipe(schedule="iterative", rewind="learning-rate"),
        "iterative magnitude; the weights stay, the training is repeated with the learning rates it had",
        "Renda et al. 2020, arXiv:2003.02389",
    ),
    Method(
        "soft-magnitude",
        Recipe(hardness="soft"),
        "zero the smallest |w| each epoch of fine-tuning, free to come back until the last",
        "He et al. 2018, arXiv:1808.06866, on single weights",
    ),
    Method(
        "soft-filter",
        Recipe(granularity="unit", allocation="uniform", hardness="soft"),
        "zero the filters of smallest L2 norm each epoch, free to come back; at the end remove them",
        "He et al. 2018, arXiv:1808.06866",
    ),
    Method(
        "gradual-soft-filter",
        Recipe(granularity="unit", allocation="uniform", hardness="soft", schedule="asymptotic"),
        "soft filter pruning that takes more and more, three quarters of all after an eighth of the way",
        "He et al. 2019, arXiv:1808.07471 (Asymptotic Soft Filter Pruning)",
    ),
    Method(
        "soft-threshold",
        Recipe(hardness="soft-threshold", schedule="polynomial"),
        "shrink all |w| by the largest to go, ever more of it; what reaches zero may return, until the end",
        "Donoho 1995, doi:10.1109/18.382009; in training: Kusupati et al. 2020, arXiv:2002.03231",
    ),
    Method(
        "attenuation",
        Recipe(hardness="attenuate"),
        "make the smallest |w| ten times smaller, each epoch; none becomes zero: the sparsity stays 0",
        "Cai et al. 2020, arXiv:2010.09498",
    ),
    Method(
        "magnitude-as-cut",
        Recipe(recovery="none"),
        "global magnitude without any recovery: what the cut itself does",
        "Blalock et al. 2020, arXiv:2003.03033",
    ),
    Method(
        "magnitude-bn-recalibrated",
        Recipe(recovery="batch-norm"),
        "global magnitude; batch norm's running statistics anew from training data, no fine-tuning",
        "Li et al. 2020, arXiv:2007.02491",
    ),
)
