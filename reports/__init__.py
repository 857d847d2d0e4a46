"""Reports: keep the results file, judge it and show it. Nothing here imports torch."""
