"""Alembic revisions of the prediction log, in the order of their numbers; `maintenance.migrate` runs them."""
