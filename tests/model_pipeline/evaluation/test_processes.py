import os
import signal
import time
from collections.abc import Iterator

import pytest

from model_pipeline.evaluation.processes import HELD, in_order


def slow_first(n: int) -> tuple[int, int]:
    if n == 0:
        time.sleep(0.2)
    return n, os.getpid()


def dying(n: int) -> int:
    if os.getppid() == int(os.environ.get("TEST_PARENT", "0")):
        os.kill(os.getpid(), signal.SIGKILL)
    return n


def refusing(n: int) -> int:
    raise ValueError(f"not {n}")


def slow(n: int) -> tuple[int, int]:
    time.sleep(0.05)
    return n, os.getpid()


def test_results_come_in_order_from_this_process_and_others() -> None:
    found = list(in_order(slow, range(60), processes=2))
    assert [n for n, _ in found] == list(range(60))
    by = [process for _, process in found]
    assert len(set(by)) == 2
    # This one works while the other starts, and neither does nearly all of it.
    assert 10 < by.count(os.getpid()) < 55


def test_one_process_is_this_one() -> None:
    assert {process for _, process in in_order(slow_first, range(3), processes=1)} == {os.getpid()}


def test_no_more_than_a_few_blocks_are_taken_ahead() -> None:
    taken = 0

    def blocks() -> Iterator[int]:
        nonlocal taken
        for n in range(300):
            taken += 1
            yield n

    for n, _ in in_order(slow_first, blocks(), processes=2):
        assert taken <= n + 2 * HELD + 2


def test_what_a_dead_process_leaves_is_done_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_PARENT", str(os.getpid()))
    assert list(in_order(dying, range(20), processes=2)) == list(range(20))


@pytest.mark.parametrize("processes", [1, 2])
def test_an_error_is_told(processes: int) -> None:
    with pytest.raises(ValueError, match="not "):
        list(in_order(refusing, range(3), processes=processes))
