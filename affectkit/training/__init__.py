"""Training: one loop over stages, on Accelerate, for every network of the suite."""
