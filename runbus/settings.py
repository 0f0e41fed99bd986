"""The settings: `RUNBUS_*` in the environment, then a TOML file.

The file is `$RUNBUS_CONFIG`, by default `~/.config/runbus/config.toml`; its keys are the names
below in lower case, without the prefix.
"""

from __future__ import annotations

import os
import re
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic_core import SchemaValidator, ValidationError, core_schema

from runbus.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Generator

_PREFIX = "runbus_"


@dataclass(frozen=True, repr=False)
class Secret:
    """A text that whoever prints or logs it does not show: it may hold a password."""

    _text: str

    def get_secret_value(self) -> str:
        """Return the text itself."""
        return self._text

    def __repr__(self) -> str:
        return "Secret('**********')"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """One reading of the settings. Frozen, so that it can key the connections made from it."""

    url: Secret | None = None
    """Where the server is. Unset: an embedded server.

    `redis://user:password@host:port/database`, `rediss://…` (TLS) or `unix:///path`;
    `redis+sentinel://host:port,host:port/name` with the name of the primary that the sentinels
    know, and `redis+cluster://host:port,host:port` with some of its nodes, both with TLS as
    `rediss+…`. Options of a redis-py connection follow a `?`: `ssl_ca_certs`, `ssl_certfile` and
    `ssl_keyfile` are paths; the sentinels' own user is `sentinel_username` and
    `sentinel_password`."""

    prefix: str = "runbus"
    """What every key begins with."""

    retention_seconds: float = 7 * 24 * 3600
    """How long the keys of a run outlive it, and those of a run that runbus does not know
    outlive its last input."""

    lease_seconds: float = 30
    """How long a process that says nothing keeps its runs before others take them over."""

    max_input_bytes: int = 1024 * 1024
    """The size of one input's JSON, in bytes."""

    max_stream_length: int = 100_000
    """How many inputs of one type may wait unread (past the furthest receiver's read mark)."""

    max_run_bytes: int = 1024**3
    """How many bytes all inputs of one run may take together."""

    max_unsent_bytes: int = 16 * 1024 * 1024
    """How many bytes of sends that nobody awaits may be on their way from one event loop."""

    connect_timeout_seconds: float = 5
    """How long one attempt to connect may take."""

    reply_timeout_seconds: float = 5
    """How long a reply may take before its connection is given up as dead."""

    durability_timeout_seconds: float = 10
    """How long to wait for the disk or the replicas that a send or an answer asks for."""

    retry_seconds: float = 60
    """How long a server that cannot be reached is asked again before an error is raised."""

    metrics_port: int | None = None
    """Where workers and the page tell Prometheus how they do. Unset: nowhere."""

    metrics_host: str = "127.0.0.1"
    """The address that they listen at for that."""

    def are_current(self) -> bool:
        """Whether these are the settings in use."""
        return self is _current


def _without_braces(prefix: str) -> str:
    # A brace would end up left of the hash tag and move a run's keys to different slots.
    if not re.fullmatch(r"[^\s{}\x00-\x1f\x7f]{1,64}", prefix):
        raise ValueError("1 to 64 characters without braces, spaces or control characters")
    return prefix


def _text_of(value: object) -> object:
    return value.get_secret_value() if isinstance(value, Secret) else value


_SECONDS = core_schema.float_schema(gt=0, le=10 * 365 * 24 * 3600, allow_inf_nan=False)
_COUNT = core_schema.int_schema(gt=0)
_TEXT = core_schema.str_schema()
_SECRET = core_schema.no_info_before_validator_function(
    _text_of, core_schema.no_info_after_validator_function(Secret, _TEXT)
)
_CHECKS: dict[str, core_schema.CoreSchema] = {
    "url": core_schema.nullable_schema(_SECRET),
    "prefix": core_schema.no_info_after_validator_function(_without_braces, _TEXT),
    "retention_seconds": _SECONDS,
    "lease_seconds": core_schema.float_schema(ge=1, le=3600),
    "max_input_bytes": _COUNT,
    "max_stream_length": _COUNT,
    "max_run_bytes": _COUNT,
    "max_unsent_bytes": _COUNT,
    "connect_timeout_seconds": _SECONDS,
    "reply_timeout_seconds": _SECONDS,
    "durability_timeout_seconds": _SECONDS,
    "retry_seconds": _SECONDS,
    "metrics_port": core_schema.nullable_schema(core_schema.int_schema(gt=0, lt=65536)),
    "metrics_host": _TEXT,
}
"""What each may be, in the terms of pydantic's core: its models take longer to load than this."""


@cache
def _validator() -> SchemaValidator:
    fields = {
        name: core_schema.typed_dict_field(check, required=False) for name, check in _CHECKS.items()
    }
    return SchemaValidator(
        # A slip in the file is told, and no error shows the URL.
        core_schema.typed_dict_schema(fields, extra_behavior="forbid"),
        core_schema.CoreConfig(hide_input_in_errors=True),
    )


def config_file_path() -> Path:
    """Where the settings file is, whether or not it exists."""
    base = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(os.environ.get("RUNBUS_CONFIG") or Path(base) / "runbus" / "config.toml")


_current: Settings | None = None


def current() -> Settings:
    """Read the settings at the first use and keep them. Raises `SettingsError`."""
    global _current  # noqa: PLW0603
    if _current is None:
        _current = read()
    return _current


def read(**values: Any) -> Settings:
    """Read the settings anew; `values` come before the environment. Raises `SettingsError`."""
    try:
        found = {**_in_file(), **_in_environment(), **values}
        return Settings(**_validator().validate_python(found))
    except ValidationError as error:
        raise SettingsError(_explain(error)) from None
    except (OSError, ValueError) as error:  # the file cannot be read, or is not TOML
        raise SettingsError(f"{config_file_path()}: {error}") from None


def _in_file() -> dict[str, Any]:
    path = config_file_path()
    if not path.is_file():
        return {}
    import tomllib  # late: few have such a file

    return tomllib.loads(path.read_text("utf-8"))


def _in_environment() -> dict[str, str]:
    """Return what is set there, in upper or lower case; what is empty counts as not set."""
    lower = {name.lower(): value for name, value in os.environ.items()}
    found = {name: lower.get(f"{_PREFIX}{name}", "") for name in _CHECKS}
    return {name: value for name, value in found.items() if value}


def _explain(error: ValidationError) -> str:
    return "; ".join(
        f"RUNBUS_{'_'.join(map(str, item['loc'])).upper()}: "
        f"{item['msg'].removeprefix('Value error, ')} (in the environment or {config_file_path()})"
        for item in error.errors(include_input=False, include_url=False)
    )


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
