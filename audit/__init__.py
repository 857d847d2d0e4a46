"""The audit: plans a run, makes the variants, probes them and writes the results file."""

__version__ = "0.1.0"
