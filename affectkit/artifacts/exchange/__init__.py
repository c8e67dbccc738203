"""Rows to be labelled, and the labels that people gave them, in the formats of other tools: one file each."""

from affectkit.artifacts.exchange._labels import read_labels, row_ids_of
from affectkit.artifacts.exchange._queues import Format, files_of, format_of, write_queue

__all__ = ["Format", "files_of", "format_of", "read_labels", "row_ids_of", "write_queue"]
