"""REST: the Flask application, the ASGI front before it, gunicorn and its worker."""
