"""The subject: the model under audit, its data and its training recipe."""
