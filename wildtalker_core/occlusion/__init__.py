"""What moves beyond the rigid person (flow), what to ignore (masks), what lies behind."""
