class RunRefusedError(Exception):
    """A run cannot be planned, approved, started or cancelled as asked; the text says why and what to do."""
