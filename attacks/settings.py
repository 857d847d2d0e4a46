"""What the settings of every probe have in common."""

from pydantic import BaseModel, ConfigDict


class ProbeSettings(BaseModel):
    """Frozen; unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)

    def problems(self, bounds: tuple[float, float]) -> list[str]:
        """What is wrong with these settings for inputs in ``bounds``; empty if nothing is.

        Each entry is one sentence that names the key and the remedy, fit to be shown to a user before
        anything runs.
        """
        del bounds
        return []
