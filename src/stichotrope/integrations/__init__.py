"""Doors to other programs, one file each, over the public API."""
