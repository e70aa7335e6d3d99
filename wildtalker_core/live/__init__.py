"""A finished portrait in one file: it says a recording, or answers live."""
