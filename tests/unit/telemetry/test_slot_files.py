"""Files of metric values in memory that is full: what finds no room is lost alone."""

import errno
import os
from pathlib import Path

import pytest
from prometheus_client.mmap_dict import MmapedDict, mmap_key

from slipway.telemetry import slot_files as slot_values
from slipway.telemetry.slot_files import ReservedDict


def key(i: int) -> str:
    return str(mmap_key("metric", "metric_total", ["label"], [f"value {i}"], "help"))


def read(path: Path) -> dict[str, float]:
    return {name: value for name, value, _, _ in MmapedDict.read_all_values_from_file(str(path))}


@pytest.fixture
def room(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The most bytes that a file may have, which a test may change."""
    most = [1 << 30]

    def reserve(descriptor: int, size: int) -> None:
        if size > most[0]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.posix_fallocate(descriptor, 0, size)

    monkeypatch.setattr(slot_values, "reserve", reserve)
    monkeypatch.setattr(slot_values, "_lost", bytearray(1))
    return most


def test_all_pages_of_a_file_are_reserved(tmp_path: Path) -> None:
    path = tmp_path / "counter_0.db"
    values = ReservedDict(str(path))
    assert path.stat().st_blocks * 512 >= path.stat().st_size > 0
    for i in range(2000):
        values.write_value(key(i), float(i), 0.0)  # type: ignore[no-untyped-call]
    assert path.stat().st_blocks * 512 >= path.stat().st_size > 1 << 17
    assert read(path) == {key(i): float(i) for i in range(2000)}
    values.close()  # type: ignore[no-untyped-call]


def test_what_comes_after_the_last_room_is_lost_and_what_was_there_goes_on(tmp_path: Path, room: list[int]) -> None:
    room[0] = 1 << 16
    path = tmp_path / "counter_0.db"
    values = ReservedDict(str(path))
    for i in range(2000):
        values.write_value(key(i), float(i), 0.0)  # type: ignore[no-untyped-call]
    assert slot_values.series_lost()
    kept = read(path)
    assert 100 < len(kept) < 2000
    values.write_value(key(0), 7.0, 0.0)  # type: ignore[no-untyped-call]
    for i in range(1900, 2000):
        values.write_value(key(i), 1e9, 0.0)  # type: ignore[no-untyped-call]
    assert read(path) == {**kept, key(0): 7.0}
    values.close()  # type: ignore[no-untyped-call]


def test_without_a_file_values_are_kept_for_nobody(
    tmp_path: Path, room: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    room[0] = 0
    paths = [tmp_path / "counter_0.db", tmp_path / "histogram_0.db"]
    for path in paths:
        values = ReservedDict(str(path))
        for i in range(2000):
            values.write_value(key(i), 1.0, 0.0)  # type: ignore[no-untyped-call]
        assert values.read_value(key(3))[0] == 1.0  # type: ignore[no-untyped-call]
        values.close()  # type: ignore[no-untyped-call]
        assert path.stat().st_size == 0
    assert len([line for line in caplog.messages if "metrics are lost" in line]) == 1


def test_another_fault_of_the_folder_is_not_hidden(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        ReservedDict(str(tmp_path / "nowhere" / "counter_0.db"))
