"""Production scenarios: programs of many threads, each run in a process of its own under a watchdog."""
