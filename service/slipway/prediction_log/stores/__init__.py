"""The databases that keep the prediction log.

`store`: what both do.
`address`: from an address to SQLAlchemy's engine.
`tables`: the tables.
`errors`: why a database cannot be used now.
`sqlite`: a file.
`size_bound`: the size that it may have.
`postgresql`: a server.
`repair`: what no database could take.

Others use `errors.StoreAway`.
"""
