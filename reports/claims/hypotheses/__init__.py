"""The paper's claims, one file each with a ``CLAIM``; found by being there, in the order of their names."""
