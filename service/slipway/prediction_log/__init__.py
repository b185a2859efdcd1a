"""Every answer kept: from memory to the database, or to the spool on disk and from there to the database.

`log`: the door for the predictor and /feedback: put, keep, feedback.
`record`: what is kept of an answer.
`redaction`: columns left out or hashed.
`queue`: what is answered and not yet handed on.
`writer`: the task that hands it on.
`database`: the connection, bounded and opened again.
`backlog`: what waits for the database.
`spool`: its lines on disk.
`outcomes`: feedback on its way to its row.
`pace`: turns with the requests.
`bounds`: the times and sizes that writer, database and backlog keep to.
`stores/`: the two databases.
`reading/`: what people ask of the log.
`upkeep/`: its schema and its age.

Others use `log.PredictionLog`.
"""
