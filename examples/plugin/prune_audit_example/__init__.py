"""An attack, a criterion and a chart for prune-audit, each found by its entry point."""
