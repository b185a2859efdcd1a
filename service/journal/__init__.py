"""The prediction log: every answer kept."""
