"""``python -m audit`` is ``prune-audit``."""

from audit.cli import main

if __name__ == "__main__":
    main()
