"""Benchmarks: what profiling costs, held against floors that do nothing; run with -m."""

OLDEST = (3, 11)
"""The oldest supported Python: stored runs of older ones are shown only when they are named."""
