"""What figures, terms and numbers are called."""
