"""The service: model versions in, answers out."""

VERSION = "0.1.0"
