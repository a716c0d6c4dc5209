"""Encode a project's images ahead of the clicks."""
