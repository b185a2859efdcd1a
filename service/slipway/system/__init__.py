"""The machine: CPU limit, files, shared memory, processes. Knows nothing of models.

`board`: what master, workers and `slipway drain` tell each other: draining, and whether all workers are ready, or why
not.
`runtime_dir`: the folder in memory where they meet.
`process`: children die with their parents.
`cgroups`: the control groups of this process.
`memory`: its memory limit, and what is left of it.
`cpu`: the CPU limit, workers, threads.
`files`: files read with care, written whole.
`termination`: the last reason, where `kubectl describe pod` shows it.
`escaping`: text of others, made harmless.
"""
