"""A machine that no test looks at closely."""

MACHINE = {
    "cpus": 2,
    "cpu": "some",
    "memory_gib": 8,
    "kernel": "6",
    "python": "3.11",
    "wrk": "wrk 4",
    "libraries": {},
    "revision": None,
    "load_average_at_start": 0.0,
}
