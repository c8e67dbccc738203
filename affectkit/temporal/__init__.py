"""Predictions over time: pooled, smoothed."""
