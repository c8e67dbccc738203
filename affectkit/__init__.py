"""affectkit: small command-line tools for affective computing."""

__version__ = "0.1.0"
