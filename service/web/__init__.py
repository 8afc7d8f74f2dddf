"""The page for people: what it shows, its template and its static files."""
