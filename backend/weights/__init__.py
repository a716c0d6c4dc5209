"""Checkpoints: which there are, fetched, resumed, verified."""
