"""The head's pose made steady over time from tracks of its skin, and the expression."""
