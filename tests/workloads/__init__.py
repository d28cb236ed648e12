"""The programs in benchmarks/workloads: what they compute, and that any number of threads may use them."""
