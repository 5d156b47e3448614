"""Shot-boundary networks."""
