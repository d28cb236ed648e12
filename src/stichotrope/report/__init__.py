"""Results for people to read."""

from __future__ import annotations

from .console import print_results

__all__ = ["print_results"]
