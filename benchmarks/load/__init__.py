"""`python -m benchmarks.load`: what a server carries, and whether all of it arrives."""
