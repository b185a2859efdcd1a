"""Runs one model on a batch, bounded, until a deadline: on the event loop, in a thread or in a child process.

`engine`: where a batch goes, and what becomes of it.
`call`: a request on its way: deadline, client, what it asks.
`placement`: where a model runs, and how many rows are joined.
`batching`: calls that wait become the next batch.
`loaded_model`: a model as the server holds it.
`pools`: threads and child processes, and who does not return.
`child`: the child's side.
`marks`: what runs now, where the master can read it.

Others use `engine.Engine`, `call.Call` and `loaded_model.LoadedModel`.
"""
