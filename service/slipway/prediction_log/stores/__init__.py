"""The databases that keep the prediction log.

`store`: what both can do, and which one an address names.
`address`: from an address to SQLAlchemy's engine.
`tables`: the tables.
`errors`: why a database cannot be used now.
`sqlite`: a file.
`room`: the size that it may have.
`sqlite_format`: a row as its values.
`postgresql`: a server.
`copy_format`: a row as COPY takes it.
`copy_stream`: a COPY that stays open.
`forms`: how a row waits.
`repair`: what no database could take.

Others use `store.open_store` and `errors.StoreAway`.
"""
