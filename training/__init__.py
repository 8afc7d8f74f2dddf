"""Training: a table in, a model version out."""
