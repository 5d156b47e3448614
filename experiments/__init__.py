"""What is measured about the suite itself: `python -m experiments.NAME`."""
