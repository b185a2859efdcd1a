"""The tables of the prediction log, and the indexes for what people ask: by time, by model, by request, by client,
by a row's key.
"""

from alembic import op

revision = "0001"
down_revision = None

POSTGRESQL = """
CREATE TABLE predictions (
    key uuid NOT NULL, time timestamptz NOT NULL, request_id text NOT NULL, position integer NOT NULL,
    model text NOT NULL, version text NOT NULL, digest text NOT NULL, dialect text NOT NULL,
    features jsonb NOT NULL, answer jsonb NOT NULL, confidence double precision,
    latency_ms double precision NOT NULL, client text
) PARTITION BY RANGE (time);
CREATE TABLE predictions_default PARTITION OF predictions DEFAULT;
CREATE UNIQUE INDEX predictions_key ON predictions (key, time);
CREATE INDEX predictions_time ON predictions (time, key);
CREATE INDEX predictions_model ON predictions (model, version, time);
CREATE INDEX predictions_request ON predictions USING hash (request_id);
CREATE INDEX predictions_client ON predictions (client, time) WHERE client IS NOT NULL;
CREATE TABLE feedback (
    key uuid NOT NULL, time timestamptz NOT NULL, prediction uuid NOT NULL, outcome jsonb NOT NULL, client text
);
CREATE UNIQUE INDEX feedback_key ON feedback (key);
CREATE INDEX feedback_time ON feedback (time, key);
CREATE INDEX feedback_prediction ON feedback (prediction, time, key);
"""
SQLITE = """
CREATE TABLE predictions (
    key TEXT NOT NULL, time TEXT NOT NULL, request_id TEXT NOT NULL, position INTEGER NOT NULL,
    model TEXT NOT NULL, version TEXT NOT NULL, digest TEXT NOT NULL, dialect TEXT NOT NULL,
    features TEXT NOT NULL, answer TEXT NOT NULL, confidence DOUBLE,
    latency_ms DOUBLE NOT NULL, client TEXT
);
CREATE UNIQUE INDEX predictions_key ON predictions (key);
CREATE INDEX predictions_time ON predictions (time, key);
CREATE INDEX predictions_model ON predictions (model, version, time);
CREATE INDEX predictions_request ON predictions (request_id);
CREATE INDEX predictions_client ON predictions (client, time) WHERE client IS NOT NULL;
CREATE TABLE feedback (
    key TEXT NOT NULL, time TEXT NOT NULL, prediction TEXT NOT NULL, outcome TEXT NOT NULL, client TEXT
);
CREATE UNIQUE INDEX feedback_key ON feedback (key);
CREATE INDEX feedback_time ON feedback (time, key);
CREATE INDEX feedback_prediction ON feedback (prediction, time, key);
"""


def upgrade() -> None:
    script = POSTGRESQL if op.get_bind().dialect.name == "postgresql" else SQLITE
    for statement in script.split(";")[:-1]:
        op.execute(statement.strip())
