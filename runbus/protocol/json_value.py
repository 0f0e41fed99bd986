"""JSON values, as those who wrote them know them."""

from typing import Any, TypeAlias

JSONValue: TypeAlias = Any
"""None, a bool, a number, a text, or a list or a dict of such.

For a checker it fits everything: the value is the user's, and only the user's code knows what is
in it.
"""
JSONObject: TypeAlias = dict[str, JSONValue]
"""A JSON object: the parameters of a run, an answer, a JSON Schema."""
