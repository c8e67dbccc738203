"""Fusion rules: one file per rule, each a fit to plain parameters and their application."""
