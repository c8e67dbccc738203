"""One file per command: options, checks, one library call, write, print the path. Commands never import commands."""
