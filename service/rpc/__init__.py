"""gRPC: the services, and the server that carries them."""
