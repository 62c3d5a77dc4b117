"""The authority: one process that owns the equipment and decides who may drive it."""

__version__ = "0.2.0"
