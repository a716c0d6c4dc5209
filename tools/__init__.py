"""Measurements and training for developers; no user needs them."""
