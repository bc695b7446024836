"""Attributes that are computed once, also in a process that was forked while a thread computed one."""

import multiprocessing
import threading
from multiprocessing.queues import SimpleQueue

import pytest

from corpusmill.training.lazy import lazy

WAITS = threading.Event()
BEGUN = threading.Event()


class Table:
    computed = 0

    def __init__(self, slow: bool = False) -> None:
        self.slow = slow

    @lazy
    def size(self) -> int:
        """How large it is."""
        Table.computed += 1
        if self.slow:
            BEGUN.set()
            WAITS.wait(20)
        return 7


def test_it_is_computed_once_and_kept() -> None:
    table, before = Table(), Table.computed
    assert [table.size, table.size] == [7, 7] and Table.computed == before + 1
    assert vars(table)["size"] == 7 and Table.size.__doc__ == "How large it is."


def _ask(answers: "SimpleQueue[int]") -> None:
    answers.put(Table().size)


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="no fork here")
def test_a_forked_process_does_not_wait_for_a_thread_that_it_has_not_got() -> None:
    thread = threading.Thread(target=lambda: Table(slow=True).size)
    thread.start()
    assert BEGUN.wait(10)
    context = multiprocessing.get_context("fork")
    answers: SimpleQueue[int] = context.SimpleQueue()
    child = context.Process(target=_ask, args=(answers,))
    child.start()
    child.join(15)
    ended = child.exitcode
    if ended is None:
        child.kill()
    WAITS.set()
    thread.join()
    assert ended == 0 and answers.get() == 7
