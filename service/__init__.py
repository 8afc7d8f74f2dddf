"""The service: model versions in, answers out."""
