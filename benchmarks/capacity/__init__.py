"""Capacity: how many cores, workers and pods a load needs, from costs that were measured.

``queueing`` has the formulas, ``simulation`` the events they are compared with, ``scaling``
the autoscaler, ``fluid`` what both become where requests are too many to count.
"""
