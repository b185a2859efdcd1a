"""How Alembic runs the migrations: on the connection, and in the transaction, of who asked for them."""

from alembic import context

from slipway.prediction_log.stores.tables import REVISION_TABLE

context.configure(
    connection=context.config.attributes["connection"], version_table=REVISION_TABLE, transactional_ddl=True
)
context.run_migrations()
