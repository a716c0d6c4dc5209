"""Embeddings: kept in memory and on disk, made ahead of the clicks."""
