"""Asking a person for an answer, field by field, on a terminal."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from runbus.cli.exits import Failed
from runbus.cli.prompt import Prompt
from runbus.forms import catalogue, parts
from runbus.forms.answers import in_one_line
from runbus.forms.defaults import is_same
from runbus.forms.exact_json import read_exact
from runbus.forms.normal_form import normal_form
from runbus.forms.part_checker import PartChecker
from runbus.forms.parts import UNSET, Choice, List, Map, Object, Part, Tuple, Union, as_json
from runbus.forms.references import fields_of, items_of
from runbus.forms.schema import SchemaReader
from runbus.forms.values import Mistyped, label, read_value
from runbus.protocol.printed import one_line

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from runbus.forms.parts import Schema

DEEPEST = 12
MOST_UNASKED = 500


def ask(
    schema: Schema, before: Mapping[str, Any] | None = None, only: Iterable[str] | None = None
) -> dict[str, Any]:
    """Ask for each field of a form; return the answer, without what was left out.

    `before` are the values that were typed before, which are offered again; with `only`, those
    fields are asked for and the others keep their values. Raises `EOFError` (Ctrl-D),
    `KeyboardInterrupt`, and `Failed` for a form that cannot be asked for so.
    """
    form = _Form(schema)
    answer = form.whole(dict(before or {}), set(only or ()))
    if only is not None and not form.prompt.lines:
        # Asking again for nothing would never end.
        raise Failed(f"the form has no fields to ask for. {_OTHERWISE}")
    return answer


_OTHERWISE = "Pass the answer with --input."


class _Form:
    def __init__(self, root: Schema) -> None:
        self.prompt = Prompt()
        self.depth = 0
        self._kinds = 0
        """How many values around are of one of several kinds, known by what is there."""
        self._root = root
        self._reader = SchemaReader(root)
        self._checker = PartChecker(root)

    def whole(self, before: dict[str, Any], only: set[str]) -> dict[str, Any]:
        found = self._reader.form()
        return self._fields(found, before, only) if isinstance(found, Object) else before

    def _fields(
        self, found: Object, before: Mapping[str, Any], only: Collection[str] = ()
    ) -> dict[str, Any]:
        is_closed = found.schema.get("additionalProperties") is False
        known = found.properties if is_closed else before
        answer = {name: each for name, each in before.items() if name in known}
        for name, each in self._reader.fields(found):
            if only and name not in only:
                continue
            value = self.value(_offering(each, before.get(name, UNSET)))
            answer.pop(name, None)
            if value is not UNSET and not self._is_untouched(each, value):
                answer[name] = value
        return answer

    def _is_untouched(self, inner: Part, value: Any) -> bool:
        """Whether a value within a field is its default, and JSON does not keep that."""
        if not self.depth or self._kinds or inner.required or inner.default is UNSET:
            return False
        is_default = is_same(value, inner.default)
        return is_default and not self._checker.is_kept_by_json(inner, value)

    def value(self, wanted: Part) -> Any:
        self.prompt.unasked += 1
        if self.prompt.unasked > MOST_UNASKED:  # definitions that use each other, or `minItems`
            raise Failed(f"the form has too many fields to ask for. {_OTHERWISE}")
        if self.depth == DEEPEST:  # and one that needs itself, for no end of them
            wanted = as_json(wanted)
        self.depth += 1
        try:
            return self._value(wanted)
        finally:
            self.depth -= 1

    def _value(self, wanted: Part) -> Any:
        if isinstance(wanted, parts.Constant | parts.Nothing):
            return parts.only_value(wanted)
        self.prompt.show(wanted)
        while True:
            before = self.prompt.lines
            try:
                value = self._one(wanted)
                if value is not UNSET and not _is_default(wanted, value):
                    self._check(wanted, value)
            except Mistyped as error:
                if self.prompt.lines == before:  # nothing was typed that could be another time
                    raise Failed(f"{error}. {_OTHERWISE}") from None
                self.prompt.complain(str(error))
                continue
            return value

    def _check(self, wanted: Part, value: Any) -> None:
        """Raise `Mistyped` for a value that does not fit."""
        if errors := self._checker.errors(wanted, value):
            raise Mistyped(in_one_line(errors))

    def _one(self, wanted: Part) -> Any:
        match wanted:
            case Object():
                return self._model(wanted)
            case List():
                return self._list(wanted)
            case Tuple():
                return self._tuple(wanted)
            case Map():
                return self._map(wanted)
            case Union() if self._has_structure(wanted):
                return self._union(wanted)
            case _:
                return self._scalar(wanted)

    # What one line answers.

    def _scalar(self, wanted: Part) -> Any:
        text = self.prompt.value(wanted)
        if not text:
            return self._left_empty(wanted)
        if wanted.nullable and text == "null":
            return None
        return self._read(wanted, text)

    def _read(self, wanted: Part, text: str) -> Any:
        if isinstance(wanted, Choice):
            return self.prompt.chosen(wanted, text)
        is_empty_text = isinstance(wanted, parts.Text) and text == '""'
        return "" if is_empty_text else read_value(wanted, text)

    def _left_empty(self, wanted: Part) -> Any:
        if wanted.default is not UNSET:
            return wanted.default
        if not wanted.required:
            return UNSET
        if wanted.nullable:
            return None
        advice = catalogue.OR_AN_EMPTY_TEXT if isinstance(wanted, parts.Text) else ""
        raise Mistyped(catalogue.REQUIRED + advice)

    def _json(self, wanted: Part, text: str) -> Any:
        return normal_form(self._root, read_exact(text), wanted.schema)

    # What takes several.

    def _model(self, wanted: Object) -> Any:
        if (wanted.nullable or not wanted.required) and not self.prompt.agree(
            f"Fill in {one_line(wanted.title)}?", default=isinstance(wanted.default, dict)
        ):
            return self._skipped(wanted)
        self.prompt.depth += 1
        try:
            return self._fields(wanted, fields_of(wanted.default))
        finally:
            self.prompt.depth -= 1

    def _skipped(self, wanted: Part) -> Any:
        default: Any = wanted.default
        if default is UNSET:
            return None if wanted.required else UNSET
        return None if wanted.nullable and type(default) in {dict, list} else default

    def _list(self, wanted: List) -> Any:
        item = self._reader.part(wanted.items, "Item")
        if isinstance(item, Choice):
            return self._several(wanted, item)
        if isinstance(item, Object | List | Tuple | Map):
            return self._list_of_forms(wanted, item)
        self.prompt.say("One to a line; an empty line ends the list. [] is an empty list.")
        first = self.prompt.value(wanted)
        if not first:
            return self._left_empty(wanted)
        if first.startswith("["):
            return self._json(wanted, first)
        return self._items(item, first)

    def _items(self, item: Part, text: str) -> list[Any]:
        found: list[Any] = []
        while text:
            try:
                value = self._read(item, text)
                self._check(item, value)
                found.append(value)
            except Mistyped as error:
                self.prompt.complain(str(error))
            text = self.prompt.line("> ", is_secret=item.is_secret)
        return found

    def _several(self, wanted: List, item: Choice) -> Any:
        self.prompt.options(item.options)
        self.prompt.say("Several: with commas between. [] is an empty list.")
        text = self.prompt.value(wanted)
        if not text:
            return self._left_empty(wanted)
        if text.startswith("["):
            return self._json(wanted, text)
        return [self._read(item, each.strip()) for each in text.split(",") if each.strip()]

    def _list_of_forms(self, wanted: List, item: Part) -> Any:
        offered = items_of(wanted.default)
        found: list[Any] = []
        if offered and not _is_default(wanted, offered) and self._checker.errors(wanted, offered):
            found = [self.value(_offering(item, each)) for each in offered]  # secrets are not in it
        elif offered and self.prompt.agree(f"Keep {label(offered)}?", default=True):
            return offered
        may_be_empty = wanted.nullable or not wanted.required
        least = 0 if may_be_empty else wanted.limits.get("minItems", 0)
        while len(found) < least or self.prompt.agree(
            f"Add {'another' if found else 'one'}?", default=False
        ):
            found.append(self.value(item))
        is_unset = wanted.default is UNSET or wanted.default is None
        is_left_out = not found and may_be_empty and is_unset
        return self._skipped(wanted) if is_left_out else found

    def _tuple(self, wanted: Tuple) -> Any:
        offered = items_of(wanted.default)
        if (wanted.nullable or not wanted.required) and not self.prompt.agree(
            f"Fill in {one_line(wanted.title)}?", default=bool(offered)
        ):
            return self._skipped(wanted)
        defaults = [*offered, *[UNSET] * len(wanted.items)]
        places = [self._reader.part(each, f"Item {n}") for n, each in enumerate(wanted.items, 1)]
        return [
            self.value(_offering(place, default))
            for place, default in zip(places, defaults, strict=False)
        ]

    def _map(self, wanted: Map) -> Any:
        item = self._reader.part(wanted.values, "Value")
        self.prompt.say("A line for each, name=value; an empty line ends. {} has none.")
        text = self.prompt.value(wanted)
        if not text:
            return self._left_empty(wanted)
        if text.startswith("{"):
            return self._json(wanted, text)
        return self._entries(item, text)

    def _entries(self, item: Part, text: str) -> dict[str, Any]:
        found: dict[str, Any] = {}
        while text:
            name, equals, rest = text.partition("=")
            try:
                if not equals:
                    raise Mistyped(catalogue.PAIR_WANTED)
                if name.strip() in found:
                    raise Mistyped(catalogue.TWICE.format(name=name.strip()))
                value = self._read(item, rest.strip())
                self._check(item, value)
                found[name.strip()] = value
            except Mistyped as error:
                self.prompt.complain(str(error))
            text = self.prompt.line("> ", is_secret=item.is_secret)
        return found

    def _has_structure(self, wanted: Union) -> bool:
        branches = (self._reader.part(each.schema) for each in wanted.branches)
        return any(isinstance(each, Object | List | Tuple | Map) for each in branches)

    def _union(self, wanted: Union) -> Any:
        options = [
            parts.Option(value=number, label=branch.label, text=branch.label)
            for number, branch in enumerate(wanted.branches)
        ]
        self.prompt.options(options)
        before = self._kind_before(wanted)
        offered = wanted if before is None else replace(wanted, default=options[before].label)
        text = self.prompt.value(offered)
        if not text and before is None:
            return self._left_empty(wanted)
        if text.startswith(("{", "[")):
            return self._json(wanted, text)
        choice = Choice(schema={}, options=tuple(options))
        chosen = int(self.prompt.chosen(choice, text)) if text else before or 0
        inner = self._reader.part(wanted.branches[chosen].schema, wanted.title)
        return self._of_kind(_offering(inner, wanted.default) if chosen == before else inner)

    def _of_kind(self, inner: Part) -> Any:
        self._kinds += 1
        try:
            return self.value(inner)
        finally:
            self._kinds -= 1

    def _kind_before(self, wanted: Union) -> int | None:
        """Return which branch an old value is of, whose fields are asked for with its values.

        None where there is none. Its secrets are not in it, so it need not fit.
        """
        value = fields_of(wanted.default)
        if not value or _is_default(wanted, wanted.default):
            return None
        shared = [self._shared_fields(branch.schema, value) for branch in wanted.branches]
        return shared.index(max(shared)) if max(shared) else None

    def _shared_fields(self, schema: Schema, value: Schema) -> int:
        """Return how many fields of a value a branch knows; none where a constant is another."""
        found = self._reader.part(schema)
        if not isinstance(found, Object):
            return 0
        known = [(name, each) for name, each in self._reader.fields(found) if name in value]
        fixed = [(name, each) for name, each in known if isinstance(each, parts.Constant)]
        return len(known) if all(is_same(value[name], each.value) for name, each in fixed) else 0


def _offering(found: Part, default: Any) -> Part:
    """Return a part that offers another value."""
    return found if default is UNSET else replace(found, default=default)


def _is_default(found: Part, value: Any) -> bool:
    """Whether a value is the form's own default, which stands for the flow's and is not checked."""
    return "default" in found.schema and is_same(value, found.schema["default"])
