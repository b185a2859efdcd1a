"""Where a model's code runs: whatever comes out of it is the model's failure, and ends no process, task or generator
of ours.
"""

from types import GetSetDescriptorType, TracebackType, WrapperDescriptorType

from ..errors import Stopped

MOST_CHARACTERS = 400  # of what a model says, to clients; the log has a traceback


class Escaped(Exception):
    """A model raised what is no ordinary exception, such as SystemExit or CancelledError; that is its cause, where
    it can be looked at.
    """


class Contained:
    """`with contained:` around a model's code. What is no ordinary exception leaves as Escaped; a signal's Stopped
    passes.
    """

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if kind is None or issubclass(kind, Stopped):
            return
        if not _is_plain(kind):  # even isinstance() would run its code, wherever it is asked
            raise Escaped(f"the model raised {harmless(kind.__name__)}") from None
        # StopIteration would end a coroutine as if it had returned, and no future takes it.
        if not issubclass(kind, Exception) or issubclass(kind, StopIteration | StopAsyncIteration):
            raise Escaped(f"the model raised {harmless(kind.__name__)}") from error


contained = Contained()


def _is_plain(kind: type[BaseException]) -> bool:
    """Whether the attributes of such an exception are read as Python reads them, by no code of its own."""
    classes = [vars(each) for each in kind.__mro__]
    getters = [each[name] for each in classes for name in ("__getattribute__", "__getattr__") if name in each]
    [own, *_] = [each["__class__"] for each in classes if "__class__" in each]
    return all(isinstance(getter, WrapperDescriptorType) for getter in getters) and isinstance(
        own, GetSetDescriptorType
    )


def kind(error: BaseException) -> str:
    """The type of what a model has raised. Its message may hold a client's values."""
    return harmless(type(_cause(error)).__name__)


def described(error: BaseException) -> str:
    """Type and message, as far as its message can be had: a model's exception may fail at that, too. Without
    XGBoost's stack trace.
    """
    error = _cause(error)
    try:
        with contained:
            # Of a class of the model's, perhaps.
            message = str.__str__(str(error)).partition("\nStack trace")[0].rstrip()
    except Exception:
        message = ""
    return harmless(f"{type(error).__name__}: {message}" if message else type(error).__name__)


def _cause(error: BaseException) -> BaseException:
    return error.__cause__ if issubclass(type(error), Escaped) and error.__cause__ is not None else error


def harmless(text: str, most: int = MOST_CHARACTERS) -> str:
    """What a model says, as text that can be sent and written: of bounded length, and without halves of characters."""
    if len(text) > most:
        text = f"{text[:most]} … (cut: it has {len(text):,} characters)"
    return text.encode(errors="backslashreplace").decode()
