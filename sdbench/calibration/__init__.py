"""Data, networks and statistics whose right answer follows from how they are made."""
