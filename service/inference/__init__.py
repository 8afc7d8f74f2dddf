"""The core: NumPy in, NumPy out. It knows no HTTP, no gRPC and no gunicorn."""
