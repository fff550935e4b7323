"""Contenders of `sharding`: one network over tables that are dealt over devices."""
