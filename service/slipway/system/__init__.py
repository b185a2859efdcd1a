"""The machine: CPU limit, files, shared memory, processes. Knows nothing of models.

`board`: what master, workers and `slipway drain` tell each other.
`runtime_dir`: the folder in memory where they meet.
`process`: children die with their parents.
`cpu`: the CPU limit, workers, threads.
`files`: files read with care, written whole.
`termination`: why a container is not ready.
`escaping`: text of others, made harmless.
"""
