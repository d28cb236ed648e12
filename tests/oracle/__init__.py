"""A slow, obvious twin of the core: it keeps every pass, and works each figure out from its definition."""

from __future__ import annotations

from .figures import Block, Figures, Node, bucket, clamped, figures, middle
from .passes import BASE, Flow, Pass, Site, Thread

__all__ = [
    "BASE",
    "Block",
    "Figures",
    "Flow",
    "Node",
    "Pass",
    "Site",
    "Thread",
    "bucket",
    "clamped",
    "figures",
    "middle",
]
