"""Contenders of `serving`: requests to exported models, and other libraries' own prediction."""
