"""gopy next to its peers: `python -m benchmarks` measures and prints one table."""
