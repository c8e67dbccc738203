"""What makes a row worth a person's time: a file is a name of `--strategy`."""
