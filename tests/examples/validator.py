"""A validator of the model's own, which runs in the flow: a wrong answer is asked for again.

Try: run it, and answer with `{"size": "s", "colour": "green"}`, then in red.
"""

import asyncio
from typing import Literal, Self

from pydantic import ValidationError, model_validator

from runbus import RunInput, flow, get_run_logger, pause_flow_run


class Shirt(RunInput):
    size: Literal["s", "m", "l"]
    colour: Literal["red", "green"]

    @model_validator(mode="after")
    def is_in_stock(self) -> Self:
        if self.size == "s" and self.colour == "green":
            raise ValueError("green is sold out in small")
        return self


@flow
async def order() -> None:
    problem = "Which one?"
    while True:
        try:
            form = Shirt.with_initial_data(description=problem)
            shirt = await pause_flow_run(form, timeout=300)
            break
        except ValidationError as error:
            problem = error.errors()[0]["msg"]
            get_run_logger().warning("%s", problem)
    print(f"One {shirt.colour} shirt in {shirt.size}")


if __name__ == "__main__":
    asyncio.run(order())
