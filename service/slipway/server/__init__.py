"""Processes and sockets: the master, its workers, their connections, and how all of them stop.

`master`: `slipway serve`: loads the models, forks the workers, replaces them.
`supply`: models that lie elsewhere, fetched.
`reloading`: sees that models have changed, and has them tried.
`rehearsal`: the child that tries them.
`listening`: the sockets that a server listens on.
`certificate`: what it proves itself with, read again when it changes.
`gunicorn`: Gunicorn's settings and hooks.
`worker`: a worker process, from its start to its end.
`forks`: what a process that a model's code forks does not keep of its worker.
`accept`: whom a worker takes, and who goes when descriptors run short.
`connection`: a client's connection: what is answered at once, what it may send ahead.
`deadlines`: what a client must do in time.
`request_head`: what HTTP asks of a head beyond the parser.
`request_body`: what of a request is read at a time, and what its body may cost.
`transport`: what leaves on a connection, and whether its client takes it.
`timeouts`: how long a worker waits for its clients, and after SIGTERM for its own end.
`drain`: `slipway drain`: how it makes clients leave before SIGTERM, and how long it waits for that.
`quarantine`: models that hang or end their worker again and again.
`development`: `slipway serve --reload`.

Others use `master.serve` and `drain.drain`.
"""
