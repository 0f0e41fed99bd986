"""What the settings are, and how they are read: `RUNBUS_*` in the environment, then a TOML file.

The file is `$RUNBUS_CONFIG`, by default `~/.config/runbus/config.toml`; its keys are the names
below in lower case, without the prefix.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field, SecretStr, ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from runbus.errors import SettingsError

Seconds = Annotated[float, Field(gt=0, le=10 * 365 * 24 * 3600, allow_inf_nan=False)]
Count = Annotated[int, Field(gt=0)]


def _without_braces(prefix: str) -> str:
    # A brace would end up left of the hash tag and move a run's keys to different slots.
    if not re.fullmatch(r"[^\s{}\x00-\x1f\x7f]{1,64}", prefix):
        raise ValueError("1 to 64 characters without braces, spaces or control characters")
    return prefix


class Settings(BaseSettings):
    """One reading of the settings. Frozen, so that it can key the connections made from it."""

    model_config = SettingsConfigDict(
        env_prefix="RUNBUS_",
        frozen=True,
        extra="forbid",  # a slip in the file is told
        env_ignore_empty=True,
        # An error must not show the URL: it may hold a password.
        hide_input_in_errors=True,
    )

    url: SecretStr | None = None
    """Where the server is. Unset: an embedded server.

    `redis://user:password@host:port/database`, `rediss://…` (TLS) or `unix:///path`;
    `redis+sentinel://host:port,host:port/name` with the name of the primary that the sentinels
    know, and `redis+cluster://host:port,host:port` with some of its nodes, both with TLS as
    `rediss+…`. Options of a redis-py connection follow a `?`: `ssl_ca_certs`, `ssl_certfile` and
    `ssl_keyfile` are paths; the sentinels' own user is `sentinel_username` and
    `sentinel_password`."""

    prefix: Annotated[str, AfterValidator(_without_braces)] = "runbus"
    """What every key begins with."""

    retention_seconds: Seconds = 7 * 24 * 3600
    """How long the keys of a run outlive it, and those of a run that runbus does not know
    outlive its last input."""

    lease_seconds: Annotated[float, Field(ge=1, le=3600)] = 30
    """How long a process that says nothing keeps its runs before others take them over."""

    max_input_bytes: Count = 1024 * 1024
    """The size of one input's JSON, in bytes."""

    max_stream_length: Count = 100_000
    """How many inputs of one type may wait unread (past the furthest receiver's read mark)."""

    max_run_bytes: Count = 1024**3
    """How many bytes all inputs of one run may take together."""

    max_unsent_bytes: Count = 16 * 1024 * 1024
    """How many bytes of sends that nobody awaits may be on their way from one event loop."""

    connect_timeout_seconds: Seconds = 5
    """How long one attempt to connect may take."""

    reply_timeout_seconds: Seconds = 5
    """How long a reply may take before its connection is given up as dead."""

    durability_timeout_seconds: Seconds = 10
    """How long to wait for the disk or the replicas that a send or an answer asks for."""

    retry_seconds: Seconds = 60
    """How long a server that cannot be reached is asked again before an error is raised."""

    metrics_port: Annotated[int, Field(gt=0, lt=65536)] | None = None
    """Where workers and the page tell Prometheus how they do. Unset: nowhere."""

    metrics_host: str = "127.0.0.1"
    """The address that they listen at for that."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take arguments first, then the environment, then the file."""
        file = TomlConfigSettingsSource(settings_cls, config_file_path())
        return init_settings, env_settings, file


def config_file_path() -> Path:
    """Where the settings file is, whether or not it exists."""
    base = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(os.environ.get("RUNBUS_CONFIG") or Path(base) / "runbus" / "config.toml")


def read(**values: Any) -> Settings:
    """Read the settings anew; `values` come before the environment. Raises `SettingsError`."""
    try:
        return Settings(**values)
    except ValidationError as error:
        raise SettingsError(_explain(error)) from None
    except (OSError, ValueError) as error:  # the file cannot be read, or is not TOML
        raise SettingsError(f"{config_file_path()}: {error}") from None


def _explain(error: ValidationError) -> str:
    return "; ".join(
        f"RUNBUS_{'_'.join(map(str, item['loc'])).upper()}: "
        f"{item['msg'].removeprefix('Value error, ')} (in the environment or {config_file_path()})"
        for item in error.errors(include_input=False, include_url=False)
    )
