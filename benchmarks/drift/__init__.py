"""Drift, measured: false alarms, how soon a change is seen, and what looking costs."""
