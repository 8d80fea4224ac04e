"""Running other programs: what comes back, and what an error of theirs looks like."""

import sys

import pytest

from impl.run.command import find_program, run_command
from impl.run.errors import EtlError


def python(text):
    return [sys.executable, "-c", text]


def test_the_output_comes_back():
    assert run_command(python("print('a  b')")).stdout == "a  b\n"


def test_a_failure_shows_the_command_the_code_and_the_last_lines():
    with pytest.raises(EtlError) as caught:
        run_command(python("import sys; print('bad thing', file=sys.stderr); sys.exit(3)"), hint="try another")
    assert "failed with exit code 3" in caught.value.what
    assert caught.value.where.splitlines()[-1].strip() == "bad thing"
    assert caught.value.hint == "try another"


def test_a_signal_is_called_a_signal():
    with pytest.raises(EtlError, match="failed with signal 9"):
        run_command(python("import os; os.kill(os.getpid(), 9)"))


def test_an_error_in_our_own_words_is_quoted_and_not_wrapped():
    words = r"there is no variable `pr`\n  at x.nc: has `tas`\n\nhint: did you mean `tas`?"
    with pytest.raises(EtlError) as caught:
        run_command(python(f"import sys; print('warning: x', file=sys.stderr); sys.exit('error: {words}')"))
    assert caught.value.what == "there is no variable `pr`"
    assert caught.value.where == "x.nc: has `tas`"
    assert caught.value.hint == "did you mean `tas`?"


def test_a_missing_program_is_told_with_the_hint():
    with pytest.raises(EtlError, match="`no-such-program` is not installed") as caught:
        find_program("no-such-program", hint="install it")
    assert caught.value.hint == "install it"
