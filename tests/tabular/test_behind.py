import threading
import time

import pytest

from impl.tabular.behind import Behind


def test_things_are_written_in_their_order_by_another_thread():
    written, threads = [], set()

    def write(thing):
        time.sleep(0.001)
        threads.add(threading.get_ident())
        written.append(thing)

    with Behind(write) as behind:
        for number in range(50):
            behind.put(number)
    assert written == list(range(50)) and threads and threading.get_ident() not in threads


@pytest.mark.parametrize("last", [3, 50])
def test_what_goes_wrong_while_writing_is_raised_and_nothing_more_is_written(last):
    written = []

    def write(thing):
        if thing == last - 1:
            raise OSError(28, "No space left on device")
        written.append(thing)

    with pytest.raises(OSError, match="No space"), Behind(write) as behind:
        for number in range(last):
            behind.put(number)
    assert written == list(range(last - 1))
    assert not any(one.name.endswith("(_work)") for one in threading.enumerate())


def test_what_goes_wrong_while_making_is_raised_and_the_thread_ends():
    written = []
    with pytest.raises(ValueError, match="made"), Behind(written.append) as behind:
        behind.put(1)
        raise ValueError("it cannot be made")
    assert written == [1] and not any(one.name.endswith("(_work)") for one in threading.enumerate())
