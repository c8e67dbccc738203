"""Published procedures, one per file: their steps are the command lines that a user would type."""
