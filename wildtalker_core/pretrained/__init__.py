"""The only door to foreign networks: one adapter each, arrays in, arrays out."""
