"""What a network gets right, with and without some of its units."""
