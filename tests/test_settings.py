"""Where settings come from, and what is said of those that cannot be used."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from runbus import settings
from runbus.errors import SettingsError
from runbus.settings.model import config_file_path

if TYPE_CHECKING:
    from pathlib import Path


def write_file(text: str | bytes) -> Path:
    path = config_file_path()
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_what_is_given_comes_before_the_environment_and_that_before_the_file(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each setting is taken from the first place that has it, else it has its default."""
    write_file('prefix = "file"\nlease_seconds = 7\nmax_input_bytes = 1000\n')
    monkeypatch.setenv("RUNBUS_PREFIX", "environment")
    monkeypatch.setenv("RUNBUS_LEASE_SECONDS", "8")
    found = settings.read(prefix="given")
    assert (found.prefix, found.lease_seconds, found.max_input_bytes) == ("given", 8.0, 1000)
    assert found.max_stream_length == settings.Settings.model_fields["max_stream_length"].default


def test_the_environment_in_lower_case_and_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable may be written in lower case; one that is empty counts as not set."""
    monkeypatch.setenv("runbus_max_run_bytes", "9")
    monkeypatch.setenv("RUNBUS_PREFIX", "")
    found = settings.read()
    assert (found.max_run_bytes, found.prefix) == (9, "runbus")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("lease_second = 3\n", r"RUNBUS_LEASE_SECOND: Extra inputs are not permitted"),
        ("lease_seconds = 0.1\nprefix = 3\n", r"RUNBUS_PREFIX: .*string.*; RUNBUS_LEASE_SECONDS: "),
        ("lease_seconds = ", r"config\.toml: "),
        (b"prefix = '\xff'", r"config\.toml: "),
    ],
)
def test_a_slip_in_the_file_is_told(text: str | bytes, said: str) -> None:
    """What the file must not say, or cannot be read, is an error that names the file."""
    path = write_file(text)
    with pytest.raises(SettingsError, match=said) as raised:
        settings.read()
    assert str(path) in str(raised.value)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read() -> None:
    """That is an error that names the file, too."""
    path = write_file("")
    path.chmod(0)
    with pytest.raises(SettingsError, match="Permission denied"):
        settings.read()


def test_the_url_is_not_shown() -> None:
    """Neither a print of the settings nor an error has the password; a copy of them keeps it."""
    url = "redis://:secret@localhost/0"
    found = settings.read(url=url)
    assert "secret" not in f"{found} {found!r} {found.url} {found.url!r}"
    assert found.url is not None
    assert settings.read(**found.model_dump(exclude_unset=True)).url == found.url
    assert found.url.get_secret_value() == url
    with pytest.raises(SettingsError) as raised:
        settings.read(url=["secret"])
    assert "secret" not in f"{raised.value} {raised.value.__context__!r}"
