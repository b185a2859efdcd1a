"""Frames of every pandas dtype, estimators fitted on them, and whether what is served answers as they do: `python -m
tests.frames`.
"""
