"""Contenders of `model_steps`."""
