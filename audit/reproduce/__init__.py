"""The paper's experiment, its mistakes and its claims, by running them: ``prune-audit reproduce``.

A *scale* says which subjects are audited how far; each subject is an ordinary plan, run into a folder of its
own. What the runs say of the claims is judged by :mod:`reports.claims`.
"""
