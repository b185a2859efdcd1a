"""Rows for the prediction log, and what any of its stores must do: the tests of SQLite and PostgreSQL are subclasses
of StoreContract.
"""

import asyncio
import csv
import json
import multiprocessing
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from pyarrow import parquet
from sqlalchemy import text

from slipway.prediction_log.database import open_store
from slipway.prediction_log.reading import pages as reading
from slipway.prediction_log.reading.export import export
from slipway.prediction_log.reading.pages import COLUMNS, Chosen, count, newest, read
from slipway.prediction_log.reading.statistics import Answer, Day, Outcomes, report, statistics
from slipway.prediction_log.record import Entry, Feedback, Record
from slipway.prediction_log.stores.address import address, engine
from slipway.prediction_log.stores.errors import StoreAway
from slipway.prediction_log.stores.tables import REVISION, REVISION_TABLE, metadata
from slipway.prediction_log.upkeep import maintenance
from slipway.prediction_log.upkeep.maintenance import Migration, maintain, migrate

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
FEATURES = '{"petal length (cm)": 1.4}'


def key(number: int) -> str:
    """A UUIDv7 whose order is that of the numbers."""
    return f"019a0000-0000-7000-8000-{number:012x}"


def record(number: int, time: datetime = NOON, **others: Any) -> Record:
    fields = {
        "model": "iris",
        "version": "1",
        "features": FEATURES,
        "answer": "0",
        "confidence": 0.9,
        "latency_ms": 2.0,
        "client": None,
    }
    fields = {
        "request_id": f"request-{number}",
        "position": 0,
        "digest": "sha256:" + "a" * 64,
        "dialect": "/predict",
        **fields,
        **others,
    }
    return Record(key=key(number), time=time.timestamp(), **fields)  # type: ignore[arg-type]


def feedback(number: int, of: int, outcome: str, time: datetime = NOON) -> Feedback:
    return Feedback(key(number), time.timestamp(), key(of), outcome, None)


def write(url: str, entries: Sequence[Entry]) -> None:
    asyncio.run(_write(url, entries))


async def _write(url: str, entries: Sequence[Entry]) -> None:
    store = open_store(url)
    try:
        await store.open()
        await store.write(entries)
    finally:
        await store.close()


def rows(url: str, *columns: str, **arguments: Any) -> list[Any]:
    found = [row for page in read(url, columns=columns, **arguments) for row in page]
    return [row[0] for row in found] if len(columns) == 1 else found


def execute(url: str, statement: str) -> list[Any]:
    async def run() -> list[Any]:
        async with engine(address(url)).begin() as connection:
            result = await connection.execute(text(statement))
            return [tuple(row) for row in result] if result.returns_rows else []

    return asyncio.run(run())


def trouble(url: str, entries: Sequence[Entry] = ()) -> StoreAway:
    with pytest.raises(StoreAway) as raised:
        write(url, entries)
    return raised.value


class StoreContract:
    """`url`: a database without a schema; `log`: one that has been migrated."""

    @pytest.fixture
    def log(self, url: str) -> str:
        migrate(url)
        return url

    def test_a_row_comes_back_as_it_was_written(self, log: str) -> None:
        whole = Record(
            key(7), NOON.timestamp() + 0.123456, "r 1", 3, "größe", "2.1", "sha256:b", "/models/{name}/predict",
            '{"a": 1.5, "b": null}', '"ja"', 0.25, 1.75, "mobile",
        )  # fmt: skip
        write(log, [whole, record(8, NOON + timedelta(seconds=1), confidence=None)])
        [first, second] = [row for page in read(log) for row in page]
        assert first[1] == NOON + timedelta(microseconds=123456)
        assert (first[0], *first[2:8], *first[10:]) == (whole.key, *whole[2:8], *whole[10:], None)
        assert (json.loads(first[8]), json.loads(first[9])) == ({"a": 1.5, "b": None}, "ja")
        assert second[COLUMNS.index("confidence")] is None

    def test_the_latest_feedback_is_a_rows_outcome(self, log: str) -> None:
        later = NOON + timedelta(hours=1)
        write(log, [record(1), record(2), feedback(10, 1, "2", later), feedback(11, 1, "1"), feedback(12, 99, "0")])
        assert rows(log, "key", "outcome") == [(key(1), "2"), (key(2), None)]

    def test_what_is_written_again_is_there_once(self, log: str) -> None:
        entries: list[Entry] = [record(number, NOON + timedelta(seconds=number / 7)) for number in range(999)]
        entries.append(feedback(5000, 3, "1"))
        for again in (entries[100:300], entries, entries[500:]):
            write(log, again)
        assert rows(log, "key") == [key(number) for number in range(999)]
        assert rows(log, "outcome").count("1") == 1

    def test_a_trial_leaves_nothing(self, log: str) -> None:
        async def run() -> None:
            store = open_store(log)
            await store.open()
            await store.try_write()
            await store.write([record(1), feedback(10, 1, "2")])
            await store.try_write()
            await store.close()

        asyncio.run(run())
        assert rows(log, "key", "outcome") == [(key(1), "2")]

    def test_a_row_that_no_database_takes_does_not_keep_the_others_waiting(self, log: str) -> None:
        bad = record(
            2,
            request_id="nul \0 half \ud800",
            features='{"x": "\\u0000 \\ud83d\\ude00 \\udc00", "y": NaN}',
            answer="not json",
        )
        write(log, [record(1), bad, record(3), feedback(4, 2, "Infinity")])
        found = rows(log, "key", "request_id", "features", "answer", "outcome")
        assert [row[0] for row in found] == [key(1), key(2), key(3)]
        # SQLite holds NUL and what is not JSON, and only what UTF-8 cannot say is changed there.
        assert "\ud800" not in found[1][1]

    @pytest.mark.parametrize("place", [0, 199, 200, 449])
    @pytest.mark.parametrize(
        "wrong",
        [
            {"key": "no"},
            {"time": float("nan")},
            {"time": -1.0},
            {"time": 1e12},
            {"position": 2**31},
            {"model": "\ud800"},
        ],
        ids=str,
    )
    def test_what_no_column_holds_is_mended_and_stored_once(self, log: str, wrong: dict[str, Any], place: int) -> None:
        entries = [record(number) for number in range(450)]
        entries[place] = entries[place]._replace(**wrong)
        for _ in range(2):
            write(log, entries)
        found = rows(log, "key")
        assert len(found) == 450
        assert {key(number) for number in range(450) if number != place} <= set(found)

    def test_a_row_that_is_written_again_is_known_by_its_time_to_the_microsecond(self, log: str) -> None:
        entries = [record(i)._replace(time=NOON.timestamp() + i * 0.123_456_789) for i in range(500)]
        write(log, entries)
        write(log, entries)
        assert rows(log, "key", "time") == [(entry.key, datetime.fromtimestamp(entry.time, UTC)) for entry in entries]

    def test_a_store_that_was_closed_says_so_and_opens_again(self, log: str) -> None:
        async def run() -> None:
            store = open_store(log)
            await store.close()
            with pytest.raises(StoreAway) as raised:
                await store.write([record(1)])
            assert raised.value.kind == "gone"
            for number in (1, 2):
                await store.open()
                await store.write([record(number)])
                await store.close()

        asyncio.run(run())
        assert rows(log, "key") == [key(1), key(2)]

    def test_after_a_failed_write_the_store_opens_again(self, log: str) -> None:
        async def run() -> None:
            store = open_store(log)
            await store.open()
            await store.write([record(1)])
            await asyncio.to_thread(execute, log, "ALTER TABLE predictions RENAME TO elsewhere")
            with pytest.raises(StoreAway) as raised:
                await store.write([record(2)])
            assert raised.value.kind == "schema"
            await asyncio.to_thread(execute, log, "ALTER TABLE elsewhere RENAME TO predictions")
            await store.open()
            await store.write([record(1), record(2)])
            await store.close()

        asyncio.run(run())
        assert rows(log, "key") == [key(1), key(2)]

    def test_a_write_that_fails_leaves_nothing_of_its_rows(self, log: str) -> None:
        execute(log, "ALTER TABLE feedback RENAME TO elsewhere")
        trouble(log, [*(record(number) for number in range(700)), feedback(1000, 3, "1")])
        assert execute(log, "SELECT count(*) FROM predictions") == [(0,)]

    def test_rows_are_found_by_their_keys(self, log: str) -> None:
        entries = [record(number, NOON + timedelta(seconds=number)) for number in range(3000)]
        asked = [key(number) for number in range(2000, 4000)]

        async def run() -> tuple[list[float | None], set[str]]:
            store = open_store(log)
            await store.open()
            oldest = [await store.oldest()]
            await store.write(entries)
            found = await store.find(asked)
            oldest.append(await store.oldest())
            await store.close()
            with pytest.raises(StoreAway):
                await store.find(asked)
            return oldest, found

        oldest, found = asyncio.run(run())
        assert oldest == [None, NOON.timestamp()]
        assert found == {key(number) for number in range(2000, 3000)}

    def test_a_schema_that_is_missing_old_or_new_is_told_with_the_remedy(self, log: str) -> None:
        execute(log, f"DELETE FROM {REVISION_TABLE}")
        assert trouble(log).kind == "schema"
        execute(log, f"INSERT INTO {REVISION_TABLE} VALUES ('0000')")
        old = trouble(log)
        assert (old.kind, "schema 0000" in str(old), "slipway log migrate" in str(old)) == ("schema", True, True)
        execute(log, f"UPDATE {REVISION_TABLE} SET version_num = '9999'")
        new = trouble(log)
        assert (new.kind, "newer" in str(new)) == ("schema", True)
        for call in (lambda: migrate(log), lambda: rows(log, "key"), lambda: maintain(log, None)):
            with pytest.raises(StoreAway, match="newer"):
                call()
        execute(log, f"DROP TABLE {REVISION_TABLE}")
        assert "no schema yet" in str(trouble(log))
        with pytest.raises(StoreAway, match="no schema yet"):
            maintain(log, None)

    def test_two_migrations_at_once_are_one(self, url: str) -> None:
        with ThreadPoolExecutor(4) as threads:
            done = list(threads.map(migrate, [url] * 4))
        assert sorted(done, key=lambda migration: migration.before or "") == [
            Migration(None, REVISION),
            *[Migration(REVISION, REVISION)] * 3,
        ]

    def test_the_migrations_make_the_tables_that_the_code_knows(self, log: str) -> None:
        async def run() -> list[Any]:
            async with engine(address(log)).connect() as connection:
                return await connection.run_sync(
                    lambda sync: compare_metadata(MigrationContext.configure(sync, opts=options), metadata)
                )

        options = {
            "compare_type": True,
            "include_object": lambda _, name, kind, *__: kind != "index" and name in {*metadata.tables, *COLUMNS},
        }
        assert asyncio.run(run()) == []

    def test_several_processes_write_at_once(self, log: str) -> None:
        context = multiprocessing.get_context("spawn")
        writers = [context.Process(target=write_many, args=(log, number)) for number in range(3)]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join(60)
        assert [writer.exitcode for writer in writers] == [0, 0, 0]
        assert count(log, Chosen()) == 3 * 20 * 60

    def test_pages_hold_every_row_once_in_the_order_of_time_and_key(self, log: str) -> None:
        times = [NOON + timedelta(days=number % 3, milliseconds=number // 10) for number in range(100)]
        write(log, [record(number, time) for number, time in enumerate(times)])
        pages = list(read(log, columns=("key", "time"), page=7))
        assert [len(page) for page in pages] == [7] * 14 + [2]
        wanted = sorted((time, key(number)) for number, time in enumerate(times))
        assert [(time, identity) for page in pages for identity, time in page] == wanted

    def test_rows_are_chosen_by_model_version_and_time(self, log: str) -> None:
        for number, (model, version, hours) in enumerate(
            [("iris", "1", 0), ("iris", "2", 1), ("wine", "1", 2), ("iris", "1", 3)]
        ):
            write(log, [record(number, NOON + timedelta(hours=hours), model=model, version=version)])
        hour = timedelta(hours=1)
        assert rows(log, "key", model="iris") == [key(0), key(1), key(3)]
        assert rows(log, "key", model="iris", version="1") == [key(0), key(3)]
        assert rows(log, "key", since=NOON + hour, until=NOON + 3 * hour) == [key(1), key(2)]
        assert count(log, Chosen(model="iris", since=NOON + hour)) == 2
        assert [row[0] for row in newest(log, 2, Chosen(model="iris"))] == [key(1), key(3)]
        with pytest.raises(ValueError, match="no column 'answers'"):
            rows(log, "answers")

    def test_following_shows_what_comes_after_the_newest(self, log: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(reading, "POLL", 0.01)
        write(log, [record(number, NOON + timedelta(seconds=number)) for number in range(3)])
        following = reading.follow(log, 1, Chosen())
        assert next(following)[0] == key(2)
        write(log, [record(9, NOON + timedelta(seconds=1))])  # of another worker, which wrote later
        assert next(following)[0] == key(9)
        write(log, [record(10, NOON + timedelta(minutes=1))])
        assert next(following)[0] == key(10)
        following.close()

    @pytest.mark.parametrize("name", ["log.csv", "log.parquet"])
    def test_an_export_holds_what_is_read(
        self, log: str, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("slipway.prediction_log.reading.export.GROUP", 40)
        write(
            log,
            [
                record(number, NOON + timedelta(milliseconds=number), features='{"a": "1,\\n\\"2"}')
                for number in range(100)
            ],
        )
        write(log, [feedback(500, 5, "1")])
        assert export(log, tmp_path / name, Chosen(until=NOON + timedelta(milliseconds=90))) == 90
        expected = [row for page in read(log) for row in page][:90]
        if name.endswith(".csv"):
            with (tmp_path / name).open(newline="") as file:
                header, *lines = csv.reader(file)
            assert header == list(COLUMNS)
            assert [(line[0], datetime.fromisoformat(line[1]), line[8], line[13]) for line in lines] == [
                (row[0], row[1], row[8], row[13] or "") for row in expected
            ]
        else:
            assert [tuple(row.values()) for row in parquet.read_table(tmp_path / name).to_pylist()] == expected
        assert [path.name for path in tmp_path.glob("*log*") if path.suffix != ".db"] == [name]

    @pytest.mark.parametrize("name", ["log.csv", "log.parquet"])
    def test_strings_are_exported_without_the_quotes_of_json(self, log: str, tmp_path: Path, name: str) -> None:
        answers = ['"nein"', '"say \\"ja\\", 2\\n"', '["a","b"]', "1.5", "true"]
        write(
            log,
            [record(number, NOON + timedelta(seconds=number), answer=answer) for number, answer in enumerate(answers)],
        )
        write(log, [feedback(9, 0, '"größer"'), feedback(10, 2, '["b"]')])
        (tmp_path / name).symlink_to(tmp_path / f"other-{name}")
        export(log, tmp_path / name, Chosen())
        if name.endswith(".csv"):
            with (tmp_path / name).open(newline="", encoding="utf-8") as file:
                found = [(line["answer"], line["outcome"]) for line in csv.DictReader(file)]
        else:
            found = [(row["answer"], row["outcome"] or "") for row in parquet.read_table(tmp_path / name).to_pylist()]
        lists = ['["a", "b"]', '["b"]'] if "postgresql" in log else ['["a","b"]', '["b"]']
        assert found == [("nein", "größer"), ('say "ja", 2\n', ""), tuple(lists), ("1.5", ""), ("true", "")]
        assert (tmp_path / name).is_symlink()
        assert (tmp_path / f"other-{name}").exists()

    def test_statistics_add_up(self, log: str) -> None:
        latencies = [0.1234, 5.0, 5.5, 20.0, 300.0]
        entries: list[Entry] = [
            record(number, latency_ms=latency, confidence=0.5) for number, latency in enumerate(latencies)
        ]
        entries += [record(number, NOON + timedelta(days=1), answer="1", confidence=0.75) for number in range(10, 15)]
        entries += [
            record(number, model="price", answer=str(number / 7), confidence=None) for number in range(100, 130)
        ]
        entries += [
            feedback(200, 0, "1"),
            feedback(201, 0, "0", NOON + timedelta(1)),
            feedback(202, 10, "0"),
            feedback(203, 100, str(100 / 7 + 2)),
        ]
        write(log, entries)
        iris, price = statistics(log, Chosen())
        assert iris[:2] == ("iris", "1")
        assert iris.days == [Day("2026-11-20", 5, (5.5, 300.0, 300.0)), Day("2026-11-21", 5, (2.0, 2.0, 2.0))]
        assert sorted(iris.answers or ()) == [Answer("0", 5, 0.5), Answer("1", 5, 0.75)]
        assert iris.outcomes == Outcomes(2, 1, 0.5)
        assert (price.rows, price.answers, price.outcomes.equal) == (30, None, 0)
        assert price.outcomes.error == pytest.approx(2)
        [one] = statistics(log, Chosen(until=NOON + timedelta(hours=1), model="iris"))
        assert one.rows == 5
        assert "iris 1: 10 rows" in report([iris, price])
        assert "50.0% equal" in report([iris])

    def test_retention_keeps_that_many_whole_days_besides_today(
        self, log: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(maintenance, "STEP", 10)
        days = [NOON - timedelta(days) for days in range(6)]
        entries: list[Entry] = [record(10 * day + number, time) for day, time in enumerate(days) for number in range(9)]
        entries += [feedback(1000 + day, 10 * day, "1", time) for day, time in enumerate(days)]
        write(log, entries)
        assert maintain(log, None, NOON.date()).deleted == 0
        maintain(log, 2, NOON.date())
        assert {time.date() for time in rows(log, "time")} == {time.date() for time in days[:3]}
        assert len(rows(log, "key")) == 27
        assert maintain(log, 2, NOON.date()).deleted == 0


def write_many(url: str, writer: int) -> None:
    async def run() -> None:
        store = open_store(url)
        await store.open()
        for batch in range(20):
            numbers = range(100_000 * writer + 60 * batch, 100_000 * writer + 60 * (batch + 1))
            await store.write([record(number) for number in numbers])
        await store.close()

    asyncio.run(run())
