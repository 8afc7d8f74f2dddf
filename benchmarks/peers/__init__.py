"""Other ways to serve the same SavedModel, as their own documentation shows them."""
