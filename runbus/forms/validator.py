"""Validators: schemas compiled, so that neither a schema nor an answer takes long to be checked.

Patterns run on an engine whose time is linear; those that it has no room for, or that look ahead or
back, run on answers so short that no pattern runs away.
"""

from __future__ import annotations

from contextlib import suppress
from functools import lru_cache, partial
from typing import TYPE_CHECKING, NamedTuple, NoReturn, cast

from pydantic_core import to_json

if TYPE_CHECKING:
    from jsonschema_rs import Draft202012Validator, ValidationError

    from runbus.protocol.json_value import JSONObject, JSONValue

MOST_MATCHING = 100_000_000
"""The squares of the lengths of an answer's texts, together and for each pattern, where patterns
may take quadratic time: some tenths of a second."""
_MOST_KEPT = 64
_SMALL_PATTERN_BYTES = 200_000
_MOST_BACKTRACKING = 10_000


class Validator(NamedTuple):
    """A compiled schema."""

    compiled: Draft202012Validator
    patterns: int
    """How many patterns may take quadratic time."""

    def is_too_long(self, answer: object) -> bool:
        """Tell whether an answer is too long to be matched with these patterns."""
        return bool(self.patterns) and _matching(answer) * self.patterns > MOST_MATCHING

    def first_error(self, answer: object) -> ValidationError | None:
        """Return the first thing that is wrong with an answer; it is found at once."""
        from jsonschema_rs import ValidationError

        try:
            self.compiled.validate(answer)
        except ValidationError as error:
            return error
        return None


def validator(schema: object) -> Validator:
    """Compile a schema. Raises `ValueError` and `TypeError` for what is none."""
    # Made once for a form: that takes longer than all else that an answer costs here.
    return _kept(to_json(schema).decode())


@lru_cache(maxsize=_MOST_KEPT)
def _kept(schema: str) -> Validator:
    # Late: only who asks or answers needs it.
    from jsonschema_rs import Draft202012Validator, FancyRegexOptions, RegexOptions, ValidationError

    make = partial(Draft202012Validator, schema, retriever=_refuse)
    patterns = schema.count('"pattern')  # `patternProperties` too
    with suppress(ValidationError):
        return Validator(make(pattern_options=RegexOptions(size_limit=_SMALL_PATTERN_BYTES)), 0)
    with suppress(ValidationError):
        return Validator(make(pattern_options=RegexOptions()), patterns)
    options = FancyRegexOptions(backtrack_limit=_MOST_BACKTRACKING)
    return Validator(make(pattern_options=options), patterns)


def _refuse(uri: str) -> NoReturn:
    # A schema that somebody stored must not make this process fetch what it names.
    raise ValueError(f"{uri} is outside of the schema")


def _matching(answer: object) -> int:
    # Not by recursion: an answer may be deeper than the stack.
    total, left = 0, [answer]
    while left:
        part = left.pop()
        if isinstance(part, str):
            total += len(part) ** 2
        elif isinstance(part, dict):
            left.extend(cast("JSONObject", part).keys())
            left.extend(cast("JSONObject", part).values())
        elif isinstance(part, list):
            left.extend(cast("list[JSONValue]", part))
    return total
