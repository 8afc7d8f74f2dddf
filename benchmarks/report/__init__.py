"""What was measured: as JSON, as a page with tables, and as pictures."""
