"""Errors, draws, progress, files that are whole or not there, and the machine."""
