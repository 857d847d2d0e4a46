"""The commands of the command line, one a file: a function, registered by one line in ``audit/cli.py``.

Options that several have are in ``options.py``; what is said on the terminal goes through ``terminal.py``.
Heavy imports wait inside the functions: ``--help`` must stay quick, and ``report`` and ``gate`` work without
torch.
"""
