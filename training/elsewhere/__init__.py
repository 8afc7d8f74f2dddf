"""Contracts for networks that were trained elsewhere."""
