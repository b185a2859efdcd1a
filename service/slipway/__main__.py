"""`python -m slipway`: the same as the command `slipway`."""

from .cli.entry import main

if __name__ == "__main__":
    main()
