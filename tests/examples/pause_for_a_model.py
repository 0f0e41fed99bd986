"""A pause that asks for a form: several fields, with types and defaults.

Try: run it, and answer with `{"name": "Ada", "age": 36}`; then run it again and answer with an age
of "many", or with -1: the answer is refused, field by field, and the run stays paused.
"""

from pydantic import Field

from runbus import RunInput, flow, get_run_logger, pause_flow_run


class Guest(RunInput):
    """Who comes to dinner."""

    name: str
    age: int = Field(ge=0, description="in years")
    vegetarian: bool = False


@flow
def invite() -> None:
    guest: Guest = pause_flow_run(wait_for_input=Guest, timeout=300)
    if guest.vegetarian:
        get_run_logger().warning("No meat for %s", guest.name)
    print(f"{guest.name} ({guest.age}) comes to dinner.")


if __name__ == "__main__":
    invite()
