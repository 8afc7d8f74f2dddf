"""Benchmarks: Hearth beside other ways to serve the same model, in one run."""
