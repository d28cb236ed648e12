"""From a name to a tracked callable: what can be tracked, and what patterns choose."""
