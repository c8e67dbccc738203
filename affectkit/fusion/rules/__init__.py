"""Fusion rules, one file each."""
