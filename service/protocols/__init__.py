"""Protocols: bytes to requests and answers to bytes. Pure functions, no sockets."""
