"""What the service tells of itself: metrics and the access log."""
