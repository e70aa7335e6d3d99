"""Clips spoiled on purpose: drawn hands, and what a method loses by them."""
