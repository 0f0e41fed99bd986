"""Asking: a schema as a form on a page, and what came back from it.

A form comes back to be shown again (an item was added, a branch chosen), or to be taken. It may
come as fields or as the JSON box. Whatever is wrong, all that was typed is shown again.

A form may be large: the pages call this in a thread, so that others' go on.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pydantic_core import from_json, to_json

from runbus.forms import catalogue
from runbus.forms.answers import errors_beyond_defaults
from runbus.forms.defaults import with_defaults
from runbus.forms.exact_json import read_exact
from runbus.forms.normal_form import normal_form
from runbus.forms.parts import UNSET, Object, Schema
from runbus.forms.schema import is_one_value
from runbus.forms.secrets import fillable, hidden_names
from runbus.forms.values import Mistyped
from runbus.protocol.problems import by_place
from runbus.protocol.values import read_json
from runbus.web.form_fields import Field, FormBuilder, Posted, change_items
from runbus.web.form_values import answer_of, leave_out_untouched, place_problems, problems_in
from runbus.web.templating import last

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runbus.protocol.json_value import JSONValue
    from runbus.protocol.records import Pause

_NO_SCHEMA: Schema = {"type": "object", "properties": {}, "additionalProperties": False}
# A schema that somebody wrote by hand may be anything: it is asked for as JSON then.
_UNREADABLE = (TypeError, ValueError, KeyError, AttributeError, IndexError, RecursionError)


@dataclass(kw_only=True)
class Form:
    """A form as a page shows it."""

    root: Field | None
    """None: only the JSON box."""
    json: str = ""
    """What stands in the JSON box."""
    box_is_open: bool = False
    problems: list[str] = field(default_factory=list[str])
    """What belongs to no field."""
    is_anything_wrong: bool = False
    is_left_out: bool = False
    """Whether the JSON box had secrets, which have to be typed again."""

    @property
    def fields(self) -> list[Field]:
        """The fields to show."""
        return self.root.children if self.root is not None else []


@dataclass(kw_only=True)
class Taken:
    """What a form that came back says."""

    form: Form
    answer: JSONValue = UNSET
    """`UNSET`: it is to be shown again."""


def blank_form(schema: Schema | None, value: JSONValue = UNSET) -> Form:
    """Return a form with its defaults, or with the values of `value`."""
    root = _build(schema, {}, value)
    answer = _answer(root) if value is UNSET else value
    return Form(root=root, json=_indented(answer), box_is_open=root is None)


def question_form(pause: Pause | None) -> Form:
    """Return the form of a question; one that is asked again has its last answer filled in."""
    if pause is None or not (pause.former or pause.problems):
        return blank_form(pause and pause.schema)
    root = _build(pause.schema, {}, former_answer(pause))
    answer = read_json(pause.former) if root is None else _answer(root)
    form = Form(root=root, json=_indented(answer), box_is_open=root is None)
    return refuse(form, by_place(pause.problems))


def former_answer(pause: Pause) -> JSONValue:
    """Return the last answer of a question that is asked again; `UNSET` without one."""
    return UNSET if pause.former is None else read_json(pause.former)


def take(schema: Schema | None, posted: Posted, value: JSONValue = UNSET) -> Taken:
    """Read a form that came back; `value` fills the fields that it did not have."""
    if last(posted, "do") == "json":
        return _take_json(schema, last(posted, "json"))
    change_items(posted, last(posted, "do"))
    root = _build(schema, posted, value)
    if root is None:
        return _take_json(schema, last(posted, "json"))
    answer = answer_of(root)
    form = Form(root=root, json=_indented(answer))
    if last(posted, "do") not in {"", "send"}:
        return Taken(form=form)
    leave_out_untouched(root, schema or _NO_SCHEMA, answer)
    own = problems_in(root, schema or _NO_SCHEMA, answer)
    problems = {**_problems(schema, answer), **own}
    return Taken(form=refuse(form, problems)) if problems else Taken(form=form, answer=answer)


def refuse(form: Form, problems: Mapping[str, str]) -> Form:
    """Write what is wrong into a form."""
    form.is_anything_wrong = True
    if form.root is None or form.box_is_open:
        told = dict(problems).items()
        form.problems = [f"{place}: {words}" if place else words for place, words in told]
    else:
        form.problems = place_problems(form.root, dict(problems))
    return form


def without_typed_secrets(form: Form, schema: Schema | None) -> Form:
    """Empty the secrets of a form that goes back to a browser: no page holds them."""
    names = hidden_names(schema)
    for each in form.root.walk() if names and form.root is not None else ():
        if each.text and not each.children and not names.isdisjoint(each.path):
            each.text, each.zone, each.is_left_out = "", "", True
    kept = _json_without(schema, form.json) if names else form.json
    form.json, form.is_left_out = kept, kept != form.json
    return form


def _json_without(schema: Schema | None, text: str) -> str:
    """Return what was typed as JSON without its secrets; nothing where they cannot be found."""
    try:
        answer = from_json(text or "{}")
    except ValueError:
        may_have = "\\" in text or any(name in text for name in hidden_names(schema))
        return "" if may_have else text
    kept = fillable(schema, to_json(answer), ())
    if kept is None:
        return ""
    given = from_json(kept)
    return text if given == answer else _indented(given)


def _take_json(schema: Schema | None, text: str) -> Taken:
    try:
        answer = normal_form(schema, read_exact(text or "{}"))
    except Mistyped as error:
        form = Form(root=_build(schema, {}), json=text, box_is_open=True)
        return Taken(form=refuse(form, {"": str(error)}))
    root = _build(schema, {}, answer if isinstance(answer, dict) else UNSET)
    form = Form(root=root, json=text, box_is_open=True)
    if not isinstance(answer, dict):
        return Taken(form=refuse(form, {"": catalogue.OBJECT_WANTED}))
    problems = _problems(schema, answer)
    return Taken(form=refuse(form, problems)) if problems else Taken(form=form, answer=answer)


def _problems(schema: Schema | None, answer: JSONValue) -> dict[str, str]:
    return errors_beyond_defaults(schema, with_defaults(schema, answer)) if schema else {}


def _build(schema: Schema | None, posted: Posted, value: JSONValue = UNSET) -> Field | None:
    try:
        root = FormBuilder(schema or _NO_SCHEMA, posted).root(value)
    except _UNREADABLE:
        return None
    if not isinstance(root.part, Object):
        return None
    if is_one_value(schema) and root.children[0].label == "Value":
        root.children[0].label = "Your answer"  # a pause for a built-in type
    return root


def _answer(root: Field | None) -> JSONValue:
    return answer_of(root) if root is not None else {}


def _indented(answer: JSONValue) -> str:
    return to_json(answer, indent=2, inf_nan_mode="strings").decode()
