"""Rotations, cameras and rays: pure tensor functions, no files, no state."""
