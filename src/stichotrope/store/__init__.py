"""Figures that leave their process, or outlive it."""
