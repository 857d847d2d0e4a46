"""Attacks: measure one target. Every family is a probe; see :mod:`attacks.probe` for the nouns."""
