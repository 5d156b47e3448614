"""The cases as tests, and the scripts that record and draw what the documents say."""
