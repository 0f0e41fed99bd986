"""Whose fault an error is: the root of all errors, and its five branches."""

from __future__ import annotations


class RunbusError(Exception):
    """The root of every error that runbus raises."""


class UsageError(RunbusError):
    """The call itself is wrong. Nothing was sent or received."""


class ConflictError(RunbusError):
    """Somebody was first, or the state has moved on: look again, and decide anew."""


class NotFound(RunbusError, LookupError):
    """What was asked for is not there."""


class RefusedError(RunbusError):
    """A limit, a right or a setting does not allow it: an operator can help."""


class UnreachableError(RunbusError):
    """A server does not answer, or not with what was asked for. Later it may."""
