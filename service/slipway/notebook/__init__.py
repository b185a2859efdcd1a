"""What `import slipway` offers: from an estimator in a notebook to a server and back. Each name is loaded when used.

`models`: pack, load and check.
`words`: messages that name flags, in the words of Python.
`table`: verdicts and answers as a notebook shows them.

Others use what `slipway` itself names.
"""
