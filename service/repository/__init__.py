"""Which model versions are served: found on disk, loaded, checked, swapped, unloaded."""
