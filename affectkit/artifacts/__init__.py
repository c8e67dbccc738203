"""The only readers and writers of what the suite leaves on disk.

files: atomic files, JSON, digests. tables: the one CSV reader and writer. records: what a run says of itself, and
whether it is still so. runs: opening, resuming, closing one. locks: one writer at a time. manifest, features,
predictions, models, reports: the five artifacts.
"""
