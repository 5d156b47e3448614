"""The one place where a network and a study meet."""
