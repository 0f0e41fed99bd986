"""The settings in use.

Their model is imported when they are first read, since pydantic-settings takes a while to load.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Generator

    from runbus.settings.model import Settings as Settings

_current: Settings | None = None


def current() -> Settings:
    """Read the settings at the first use and keep them. Raises `SettingsError`."""
    global _current  # noqa: PLW0603
    if _current is None:
        found = read()
        _current = _current or found  # another thread may have been faster
    return _current


def are_current(found: Settings) -> bool:
    """Whether these are the settings in use."""
    return found is _current


def read(**values: Any) -> Settings:
    """Read the settings anew; `values` come before the environment. Raises `SettingsError`."""
    from runbus.settings import model

    return model.read(**values)


@contextmanager
def temporary_settings(**values: Any) -> Generator[Settings]:
    """Use other settings inside a `with` block, in the whole process; for tests and programs."""
    global _current  # noqa: PLW0603
    before = _current
    _current = read(**values)
    try:
        yield _current
    finally:
        _current = before


def __getattr__(name: str) -> object:
    if name != "Settings":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from runbus.settings import model

    return model.Settings
