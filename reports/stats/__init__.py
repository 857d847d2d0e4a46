"""Differences, tests and intervals."""
