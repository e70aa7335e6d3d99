"""The command ``wildtalker``: one module a command under ``wildtalker.commands``."""
