"""Sliding-mode control of a double inverted pendulum on a cart, tuned by a swarm of particles."""
