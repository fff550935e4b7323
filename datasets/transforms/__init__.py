"""Fitting and use of a table's transforms, and what its kinds of features are made with."""
