"""The commands; see :mod:`wildtalker.cli` for what a module here has to offer."""
