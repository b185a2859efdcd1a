"""The `slipway` command: a file a command, which parses, calls and prints. Nothing is computed here.

`entry`: the console script: hears signals, then imports the rest.
`main`: the parser, and the exit codes.
`flags`: a flag for every setting, shared arguments, errors of usage.
`example`: `pack`: `fetch`: `push`: `check`: `sign`: `verify`: `predict`: `bench`: `drift`: `serve`: `models`:
`rollback`: `log`:
`drain`: the command of that name.

Others use `entry.main`.
"""
