"""The schema of the prediction log, and what is too old in it.

`maintenance`: `slipway log migrate` and `slipway log maintain`.
`partitions`: PostgreSQL's partitions, one per day.
`embedded`: the file that a server makes by itself.
`migrations/`: Alembic's, one per change of the schema.
"""
