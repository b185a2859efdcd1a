"""Alembic's migrations of the log's schema.

`env`: how they are run.
`versions/`: one file per change.
"""
