"""Records as JSON, for programs: the fields by their names, times in ISO 8601, UTC."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import datetime
from typing import Any, cast

import orjson

from runbus.cli import times
from runbus.protocol.printed import one_line, readable_json
from runbus.protocol.values import read_json


def plain(value: Any) -> Any:
    """Return a record, or several, as what JSON has."""
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        items = cast("Mapping[Any, Any]", value).items()
        return {str(name): plain(each) for name, each in items}
    if isinstance(value, (list, tuple)):
        return [plain(each) for each in cast("list[Any]", value)]
    if isinstance(value, bytes):
        return read_json(value)
    return _scalar(value)


def _scalar(value: Any) -> Any:
    if isinstance(value, datetime):
        return times.exact(value)
    if isinstance(value, (bool, int, float, str)):  # a StrEnum is a text
        return str(value) if isinstance(value, str) else value
    return None if value is None else str(value)


def written(value: Any, *, is_indented: bool = False) -> str:
    """Write JSON for programs, which may also be shown on a terminal."""
    found, option = plain(value), orjson.OPT_INDENT_2 if is_indented else 0
    try:
        text = orjson.dumps(found, option=option).decode()
    except orjson.JSONEncodeError:  # a whole number of more than 64 bits
        text = json.dumps(found, ensure_ascii=False, indent=2 if is_indented else None)
    return readable_json(text)


def shown(value: Any) -> str:
    """Write JSON for people, in one line."""
    return one_line(json.dumps(plain(value), ensure_ascii=False))
