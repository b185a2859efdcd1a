"""Alembic's migrations of the log's schema.

`versions/`: one file per change.
"""
