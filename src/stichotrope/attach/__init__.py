"""Processes that run already, joined from outside: what is asked of them and done in them."""
