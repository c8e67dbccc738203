"""Figures of runs, one file each: a list of kinds, what each needs, and what draws it."""
