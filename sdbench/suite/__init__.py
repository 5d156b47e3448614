"""Runs cases: data sets and quantities by name, each an object that knows what it lacks and how it is measured."""
