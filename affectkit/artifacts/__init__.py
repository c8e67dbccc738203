"""The only readers and writers of what the suite leaves on disk.

files: atomic files, JSON, digests. tables: the one CSV reader and writer. runs: folders with a record. manifest,
features, predictions, models, reports: the five artifacts.
"""
