"""Figures, from plain numbers to SVG text."""
