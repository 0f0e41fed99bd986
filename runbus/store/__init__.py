"""Layer 2, the store: Redis. Nothing outside this package imports `redis`."""
