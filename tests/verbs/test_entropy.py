"""Random digits: no two alike, whoever draws them at once."""

from __future__ import annotations

import os
import warnings
from concurrent.futures import ThreadPoolExecutor

from runbus.input.random_keys import random_digits


def draw(count: int) -> list[str]:
    return [random_digits() for _ in range(count)]


def test_threads_draw_different_digits() -> None:
    """Also where several find that all that was drawn is used up."""
    with ThreadPoolExecutor(8) as pool:
        drawn = [each for part in pool.map(draw, [2000] * 8) for each in part]
    assert len(set(drawn)) == 8 * 2000
    assert all(len(each) == 32 and set(each) <= set("0123456789abcdef") for each in drawn)


def test_a_child_draws_other_digits_than_its_parent() -> None:
    """What was drawn before the fork, the parent alone uses."""
    before = random_digits()
    source, target = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forks beside threads
        child = os.fork()
    if child == 0:
        os.write(target, "".join(draw(50)).encode())
        os._exit(0)
    os.close(target)
    with os.fdopen(source) as file:
        digits = file.read()
    assert os.waitpid(child, 0)[1] == 0
    of_child = {digits[at : at + 32] for at in range(0, len(digits), 32)}
    assert len(of_child | {before, *draw(200)}) == 50 + 1 + 200
