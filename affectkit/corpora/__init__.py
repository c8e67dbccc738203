"""One file per corpus: what it is (`CORPUS`), `read(root)` -> rows, `synthesize(root, ...)` -> its synthetic twin."""
