"""How large trees and traces are, for who makes them and for who only speaks of them."""

from __future__ import annotations

PLANS, LARGE = 40, 400

REQUESTS = 3_000
EDIT_SHARE = 0.1
"""How many requests of a trace come after a change of the plan's files."""
