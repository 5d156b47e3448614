"""Action-recognition networks."""
