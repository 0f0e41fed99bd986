"""Interactive Python workflows, on nothing but Redis."""

__version__ = "0.1.0"
