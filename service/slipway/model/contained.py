"""Where a model's code runs: whatever comes out of it is the model's failure, and ends no process, task or generator of ours."""

from types import TracebackType

from ..errors import Stopped


class Escaped(Exception):
    """A model raised what is no ordinary exception, such as SystemExit or CancelledError; that is its cause."""


class Contained:
    """`with contained:` around a model's code. What is no ordinary exception leaves as Escaped; a signal's Stopped passes."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if error is None or isinstance(error, Stopped):
            return
        # StopIteration would end a coroutine as if it had returned, and no future takes it.
        if not isinstance(error, Exception) or isinstance(error, StopIteration | StopAsyncIteration):
            raise Escaped(f"the model raised {type(error).__name__}") from error


contained = Contained()


def kind(error: BaseException) -> str:
    """The type of what a model has raised. Its message may hold a client's values."""
    return type(error.__cause__ if isinstance(error, Escaped) and error.__cause__ is not None else error).__name__


def described(error: BaseException) -> str:
    """Type and message, as far as its message can be had: a model's exception may fail at that, too. Without XGBoost's stack trace."""
    if isinstance(error, Escaped) and error.__cause__ is not None:
        error = error.__cause__
    try:
        with contained:
            message = str(error).partition("\nStack trace")[0].rstrip()
    except Exception:
        message = ""
    return f"{type(error).__name__}: {message}" if message else type(error).__name__
