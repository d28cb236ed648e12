"""The example service under a real Prometheus."""
