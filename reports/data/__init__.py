"""A run as it was written: the ledger, and what is read from it."""
