"""affectkit: small command-line tools for affective computing."""

import os

__version__ = "0.1.0"

# Before transformers is imported: where the package `kernels` is installed, it else fetches code for some networks.
os.environ["USE_HUB_KERNELS"] = "NO"
