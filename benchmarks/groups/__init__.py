"""Contenders of `quantizer` and `group_overhead`."""
