"""The paper's claims, judged: :func:`judge` makes a :class:`Ledger` of studies, a pure function of their results."""
