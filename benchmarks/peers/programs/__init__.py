"""What the peers run, in environments of their own: other ways to serve the same SavedModel."""
