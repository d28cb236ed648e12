"""The conformance table: programs whose truth is known, under several profilers, each cell judged.

`make conformance` runs every program of `programs/` once under every tool of `adapters.py`, each
time in a process of its own, compares what the tool found with what the program measured itself,
and writes docs/conformance.json and docs/conformance.md.
"""
