"""What is in the prediction log, for people.

`pages`: rows, a page at a time.
`export`: `slipway log export`.
`statistics`: `slipway log stats`.
"""
