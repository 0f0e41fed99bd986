"""The settings in use.

Their model is imported when they are first read, since pydantic-settings takes a while to load.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Generator

    from runbus.settings.model import Settings as Settings

in_use: Settings | None = None
"""The settings in use, once they are read: looked at before each verb, so without a call."""


def current() -> Settings:
    """Read the settings at the first use and keep them. Raises `SettingsError`."""
    global in_use  # noqa: PLW0603
    if in_use is None:
        found = read()
        in_use = in_use or found  # another thread may have been faster
    return in_use


def read(**values: Any) -> Settings:
    """Read the settings anew; `values` come before the environment. Raises `SettingsError`."""
    from runbus.settings import model

    return model.read(**values)


@contextmanager
def temporary_settings(**values: Any) -> Generator[Settings]:
    """Use other settings inside a `with` block, in the whole process; for tests and programs."""
    global in_use  # noqa: PLW0603
    before = in_use
    in_use = read(**values)
    try:
        yield in_use
    finally:
        in_use = before


def __getattr__(name: str) -> object:
    if name != "Settings":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from runbus.settings import model

    return model.Settings
