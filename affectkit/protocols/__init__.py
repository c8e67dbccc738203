"""Published procedures, one per file: which steps they have, each a library call that a single command makes too."""
