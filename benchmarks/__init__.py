"""Benchmarks: what profiling costs, held against floors that do nothing; run with -m."""
