"""Calibrations: one file per method, each a fit to plain parameters and their application."""
