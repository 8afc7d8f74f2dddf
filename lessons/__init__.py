"""Lessons: the networks, losses and gradients of docs/tutorial.md, one module a lesson."""
