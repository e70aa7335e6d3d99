"""What a portrait is asked to show, by the name of the setting."""

#: The test split by itself, the head alone: the lips of Table 2.
HEAD = "head"


def is_driven(setting: str) -> bool:
    """Whether other speech is spoken, of which no video exists."""
    return setting.startswith("drive_")


def is_head(setting: str) -> bool:
    """Whether the head is shown before the reference: ``head``, or ``head_{corruption}``."""
    return setting == HEAD or setting.startswith(f"{HEAD}_")


def corruption_of(setting: str) -> str | None:
    """The entry of speech.corruptions that a portrait of the test split hears, or None.

    >>> corruption_of("head_cafe_7")
    'cafe_7'
    """
    return setting.removeprefix(f"{HEAD}_") if is_head(setting) and setting != HEAD else None
