"""A form's fingerprint: the same for forms that ask for the same."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, cast

from pydantic_core import to_json

if TYPE_CHECKING:
    from runbus.forms.parts import Schema
    from runbus.protocol.json_value import JSONValue

_DIGITS = 32
_TEXTS_ONLY = {"default", "title", "description", "examples"}


def fingerprint(schema: object) -> str:
    """Return a digest of a schema, but for texts and defaults: a retry may have others."""
    return hashlib.sha256(to_json(_without_texts(schema))).hexdigest()[:_DIGITS]


def _without_texts(schema: object) -> JSONValue:
    if isinstance(schema, dict):
        # The names of properties are not keywords: a field may be called `title`.
        return {
            name: {field: _without_texts(part) for field, part in cast("Schema", each).items()}
            if name in {"properties", "$defs"} and isinstance(each, dict)
            else _without_texts(each)
            for name, each in cast("Schema", schema).items()
            if name not in _TEXTS_ONLY
        }
    if isinstance(schema, list):
        return [_without_texts(each) for each in cast("list[JSONValue]", schema)]
    return schema
