"""Versions brought from where they are kept to where they are served, checked before they are seen.

The service itself never imports this: it runs before it, as ``python -m service.fetch``.
"""
