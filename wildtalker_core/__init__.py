"""WildTalker: talking portraits from one ordinary video.

The packages follow the data: ``media`` and ``geometry`` at the bottom; ``speech``, ``face`` and
``motion`` beside each other; ``scene`` as the narrow waist; ``nerf`` and ``training`` to the right
of it. ``metrics`` stands alone, ``pretrained`` is the only door to foreign networks.
"""
