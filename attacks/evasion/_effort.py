"""How hard attacks try, in numbers: what a plan's settings of evasion tell the attacks themselves."""

from pydantic import Field

from attacks.settings import ProbeSettings


class Effort(ProbeSettings):
    """Steps, queries and starts."""

    queries: int = Field(default=1000, ge=1, le=1_000_000)
    """Queries of an attack without gradients, for each example and ε."""

    steps: int = Field(default=20, ge=1, le=10_000)
    """Steps of ``pgd``, of falling length: 20 of them break what 40 steps of one length break, or more."""

    restarts: int = Field(default=1, ge=1, le=1_000)
    """Starts of an iterative attack: of ``pgd`` the first from the clean input, all others at random in the
    ball."""

    apgd_steps: int = Field(default=100, ge=1, le=10_000)
    """Steps of ``apgd_ce``, and of ``apgd_t`` for each target; 100 as in the reference AutoAttack. Fewer are
    faster, and now and then leave an example standing that 100 break."""

    targets: int = Field(default=9, ge=1)
    """Classes that ``apgd_t`` aims at, the likeliest first; where there are fewer, all of them."""

    fmn_steps: int = Field(default=50, ge=1, le=10_000)
    """Steps of ``fmn``."""
