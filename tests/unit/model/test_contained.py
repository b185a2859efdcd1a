"""Around a model's code: what comes out of it is an exception like any other, but for a signal's."""

import asyncio
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from slipway.errors import Stopped
from slipway.model.contained import Escaped, contained, described, kind
from tests.server.conftest import bare
from tests.server.estimators import Wicked, WickedToLoad, row
from tests.support import estimators

ROOT = Path(__file__).resolve().parents[3]


class Unprintable(BaseException):
    def __str__(self) -> str:
        raise SystemExit


@pytest.mark.parametrize(
    "error",
    [
        SystemExit(0),
        KeyboardInterrupt(),
        asyncio.CancelledError(),
        GeneratorExit(),
        StopIteration(),
        StopAsyncIteration(),
        Unprintable(),
    ],
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


class Opaque(Exception):
    def __getattribute__(self, name: str) -> object:
        raise SystemExit


class Guessing(ValueError):
    def __getattr__(self, name: str) -> object:
        raise SystemExit


class Masked(ValueError):
    @property
    def __class__(self) -> type:
        raise SystemExit

    @__class__.setter
    def __class__(self, value: type) -> None: ...


@pytest.mark.parametrize("raised", [Opaque, Guessing, Masked])
def test_what_cannot_be_looked_at_leaves_as_what_can(raised: type[Exception]) -> None:
    with pytest.raises(Escaped, match=raised.__name__) as caught, contained:
        raise raised
    assert caught.value.__cause__ is None
    assert not isinstance(caught.value, OSError)
    assert raised.__name__ in described(caught.value)


def test_what_a_model_says_is_bounded_and_can_be_sent() -> None:
    assert described(ValueError("half \ud800 a character")) == "ValueError: half \\ud800 a character"
    long = described(ValueError("x" * 5_000_000))
    assert long.startswith("ValueError: xxx")
    assert long.endswith("(cut: it has 5,000,012 characters)")
    assert len(long) < 500


def command(*arguments: object) -> "subprocess.CompletedProcess[str]":
    code = "from slipway.cli.entry import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], cwd=ROOT, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("raised", ["SystemExit", "KeyboardInterrupt", "CancelledError"])
def test_what_a_model_raises_at_its_loading_is_a_sentence_of_every_command(tmp_path: Path, raised: str) -> None:
    bare(tmp_path, "model", WickedToLoad(raised).fit())
    folder = tmp_path / "model" / "1"
    checked = command("check", folder)
    assert (checked.returncode, checked.stderr) == (1, "")
    assert raised in checked.stdout
    packed = command("pack", folder / "model.joblib", "--name", "wicked", "--output", tmp_path / "packed")
    assert packed.returncode == 2
    assert packed.stderr.startswith("slipway: ")
    assert raised in packed.stderr


def test_what_a_model_raises_at_a_prediction_is_a_sentence_of_the_command(tmp_path: Path) -> None:
    bare(tmp_path, "model", Wicked().fit())
    data = tmp_path / "data.csv"
    data.write_text(f"a,b\n0,0\n{row('SystemExit')[0]},0\n")
    answered = command("predict", tmp_path / "model" / "1", "--data", data)
    assert answered.returncode == 2
    assert "The model fails on rows 1 to 2: SystemExit" in answered.stderr
    bare(tmp_path, "good", estimators.Stub().fit())
    assert command("predict", tmp_path / "good" / "1", "--data", data).returncode == 0


def test_a_stack_trace_of_another_language_is_cut() -> None:
    message = (
        "[20:30:00] /workspace/src/data.cc:12: Check failed: a == b\nStack trace:\n  [bt] (0) "
        "/lib/libxgboost.so(+0x2b) [0x7f]\n\n"
    )
    assert described(ValueError(message)) == "ValueError: [20:30:00] /workspace/src/data.cc:12: Check failed: a == b"
    assert described(ValueError("Feature names unseen:\n- x")) == "ValueError: Feature names unseen:\n- x"
