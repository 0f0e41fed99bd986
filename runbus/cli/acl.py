"""`runbus acl`: server users with the least rights."""

from __future__ import annotations

import os
import secrets
import sys
from pathlib import Path  # noqa: TC003 (its annotation is read when the command is called)
from typing import Annotated

from cyclopts import Parameter

from runbus import settings
from runbus.errors import InvalidArgument
from runbus.store.admin import acl as store_acl

_LARGEST_FILE = 1 << 20
_PLACEHOLDER = "sha256-of-the-password-of-{}"
_PREFIX_HELP = "What every key begins with; by default RUNBUS_PREFIX."
_FILE_HELP = (
    "A file with a line `user:password` for each user. Passwords that it lacks are made up and "
    "added; it is made, for you alone to read, when it is missing."
)
_BESIDE_HELP = (
    "An ACL file that another version has printed: what its users may do stays allowed, as long as "
    "programs of both versions run."
)


def acl(
    *,
    prefix: Annotated[str | None, Parameter(help=_PREFIX_HELP)] = None,
    password_file: Annotated[Path | None, Parameter(help=_FILE_HELP)] = None,
    beside: Annotated[Path | None, Parameter(help=_BESIDE_HELP)] = None,
) -> int:
    """Print server users with the least rights, as a Redis ACL file."""
    names = ("admin", *store_acl.USERS)
    if password_file is None:
        digests = {name: _PLACEHOLDER.format(name) for name in names}
    else:
        passwords = _passwords(password_file, names)
        digests = {name: store_acl.digest(passwords[name]) for name in names}
    checked = settings.read(**({} if prefix is None else {"prefix": prefix}))
    other = "" if beside is None else "\n".join(_lines(beside))
    sys.stdout.write(store_acl.file(checked.prefix, digests, other))
    return 0


def _passwords(path: Path, names: tuple[str, ...]) -> dict[str, str]:
    known = _read(path) if path.exists() else {}
    made_up = {name: secrets.token_urlsafe(32) for name in names if not known.get(name)}
    if made_up:
        lines = "".join(f"\n{name}:{password}" for name, password in made_up.items())
        try:
            _append(path, f"{lines}\n")
        except (OSError, ValueError) as error:
            reason = f"it cannot be written: {error}"
            raise InvalidArgument("password-file", str(path), reason) from None
    return known | made_up


def _append(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)


def _lines(path: Path) -> list[str]:
    try:
        with path.open(encoding="utf-8") as file:
            text = file.read(_LARGEST_FILE + 1)
    except (OSError, ValueError) as error:
        raise InvalidArgument("file", str(path), f"it cannot be read: {error}") from None
    if len(text) > _LARGEST_FILE:
        raise InvalidArgument("file", str(path), "it is too large for an ACL file")
    return [line for line in text.splitlines() if line.strip()]


def _read(path: Path) -> dict[str, str]:
    lines = _lines(path)
    if any(":" not in line for line in lines):
        advice = "each line has to be `user:password`"
        raise InvalidArgument("password-file", str(path), advice)
    return dict(line.split(":", 1) for line in lines)
