"""Around a model's code: what comes out of it is an exception like any other, but for a signal's."""

import asyncio
import pickle

import pytest

from service.contained import Escaped, contained, described, kind
from service.errors import Stopped


class Unprintable(BaseException):
    def __str__(self) -> str:
        raise SystemExit


@pytest.mark.parametrize(
    "error",
    [SystemExit(0), KeyboardInterrupt(), asyncio.CancelledError(), GeneratorExit(), StopIteration(), StopAsyncIteration(), Unprintable()],
)
def test_what_would_end_something_of_ours_leaves_as_an_ordinary_exception(error: BaseException) -> None:
    with pytest.raises(Escaped, match=type(error).__name__) as caught, contained:
        raise error
    assert caught.value.__cause__ is error
    assert kind(caught.value) == type(error).__name__
    assert described(caught.value).startswith(type(error).__name__)
    assert isinstance(pickle.loads(pickle.dumps(caught.value)), Escaped)


def test_an_ordinary_exception_is_left_alone() -> None:
    with pytest.raises(ValueError, match="as it was") as caught, contained:
        raise ValueError("as it was")
    assert described(caught.value) == "ValueError: as it was"


def test_a_signal_is_never_the_models_doing() -> None:
    with pytest.raises(Stopped) as caught, contained:
        raise Stopped(0)
    assert caught.value.code == 0


def test_an_exception_whose_message_fails_is_named() -> None:
    assert described(Unprintable()) == "Unprintable"
