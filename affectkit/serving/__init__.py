"""The HTTP service: any model folder behind a bounded queue."""
