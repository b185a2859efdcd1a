"""Slipway: a fitted scikit-learn model, from a file to a Kubernetes cluster."""

__version__ = "0.1.0"
