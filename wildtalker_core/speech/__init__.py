"""Voice: mixing with noise, spectral subtraction, audio features."""
