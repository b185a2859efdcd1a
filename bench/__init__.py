"""What a claim about Slipway's speed is measured with: `make bench`."""
