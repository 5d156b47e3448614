"""The dress rehearsal: every published case from a download to a verdict, with stand-ins for the files.

What stands here writes the published formats as their publishers did. None of it asks the readers under test how:
names, shapes and layouts are those of the reference tables in tests/conformance and of the data sets' descriptions.
"""
