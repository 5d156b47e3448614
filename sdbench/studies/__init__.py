"""Which clips form a pair."""
