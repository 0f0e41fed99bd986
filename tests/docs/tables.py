"""What the documents show of the code: `python tests/docs/tables.py` writes it anew."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from uuid import UUID

from runbus.protocol.keys import Keys
from runbus.protocol.states import diagram

ARCHITECTURE = Path(__file__).parents[2] / "docs" / "architecture.md"
_RUN = UUID("00000000-0000-0000-0000-0000000000b7")
_KEY = re.compile(r"(String|Hash|Stream|Sorted set|Set|List)\b[^:]*: ")


def key_rows() -> dict[str, str]:
    """Return, of each key, the row of the table that tells of it."""
    keys = Keys("runbus")
    rows: dict[str, str] = {}
    for name, method in inspect.getmembers(Keys, inspect.isfunction):
        told = (inspect.getdoc(method) or "").partition("\n")[0]
        if (kind := _KEY.match(told)) is not None:
            holds = told.removeprefix(kind[0]).removesuffix(".").replace("|", r"\|")
            rows[name] = f"| `{_shown(keys, name)}` | {kind[1].lower()} | {holds} |"
    return rows


def _shown(keys: Keys, name: str) -> str:
    method = getattr(keys, name)
    values = {"flow_run_id": _RUN, "tag": "b7", "process": "<process>b7"}
    names = inspect.signature(method).parameters
    key: str = method(**{each: values.get(each, f"<{each}>") for each in names})
    return key.replace(str(_RUN), "<run>").replace("<process>b7", "<process>")


def key_table() -> str:
    """Return the table of all keys: those of a run, those of a tag, and the others."""
    rows = sorted(key_rows().values(), key=lambda row: (_part(row), row))
    return "\n".join(["| key | type | holds |", "|---|---|---|", *rows])


def _part(row: str) -> int:
    return 0 if "{b7}:<run>" in row else 1 if "{b7}" in row else 2


MADE = {"keys": key_table, "states": lambda: f"```mermaid\n{diagram()}\n```"}
"""What stands between `<!-- made: NAME -->` and `<!-- end -->`."""


def made(text: str) -> dict[str, str]:
    """Return what stands in a document between such marks."""
    return dict(re.findall(r"<!-- made: (\w+) -->\n(.*?)\n<!-- end -->", text, re.DOTALL))


def main() -> None:
    """Write all of it anew."""
    text = ARCHITECTURE.read_text()
    for name, former in made(text).items():
        mark = f"<!-- made: {name} -->\n"
        text = text.replace(f"{mark}{former}\n", f"{mark}{MADE[name]()}\n")
    ARCHITECTURE.write_text(text)


if __name__ == "__main__":
    main()
