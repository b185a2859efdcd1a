"""The tables of the prediction log as SQLAlchemy knows them. The migrations make them, with the indexes; a test
compares the two.
"""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Column, ColumnElement, Double, Integer, MetaData, Table, Text, cast
from sqlalchemy.dialects import postgresql
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator, TypeEngine, UserDefinedType

from ..record import Feedback, Record

REVISION = "0001"  # the newest of migrations/versions, which this version of the service works with
REVISION_TABLE = "slipway_schema"  # one database may hold the tables of others, and their Alembic's


class JSONText(UserDefinedType[str]):
    """JSON that stays text in Python: it is written and read by the million, and mostly passed on."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        return "JSONB"

    def column_expression(self, colexpr: ColumnElement[Any]) -> ColumnElement[Any]:
        return cast(colexpr, Text)


class Moment(TypeDecorator[datetime]):
    """An aware datetime in UTC; on SQLite text of one width, so that its order is that of time."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(postgresql.TIMESTAMP(timezone=True) if dialect.name == "postgresql" else Text())

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        return iso(value) if value is not None and dialect.name == "sqlite" else value

    def process_result_value(self, value: Any, _: Dialect) -> datetime | None:
        return datetime.fromisoformat(value) if isinstance(value, str) else value


def iso(moment: datetime) -> str:
    """2026-11-01T00:00:00.000000Z, always with microseconds."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


_KEY = Text().with_variant(postgresql.UUID(as_uuid=False), "postgresql")
_JSON = Text().with_variant(JSONText(), "postgresql")

metadata = MetaData()
predictions = Table(
    "predictions",
    metadata,
    Column("key", _KEY, nullable=False),
    Column("time", Moment, nullable=False),
    Column("request_id", Text, nullable=False),
    Column("position", Integer, nullable=False),
    Column("model", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("dialect", Text, nullable=False),
    Column("features", _JSON, nullable=False),
    Column("answer", _JSON, nullable=False),
    Column("confidence", Double),
    Column("latency_ms", Double, nullable=False),
    Column("client", Text),
)
feedback = Table(
    "feedback",
    metadata,
    Column("key", _KEY, nullable=False),
    Column("time", Moment, nullable=False),
    Column("prediction", _KEY, nullable=False),
    Column("outcome", _JSON, nullable=False),
    Column("client", Text),
)
FIELDS = {predictions.name: Record._fields, feedback.name: Feedback._fields}
