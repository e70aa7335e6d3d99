"""Scores: pure functions of (reference, estimate) on plain arrays; stands alone in the core."""
