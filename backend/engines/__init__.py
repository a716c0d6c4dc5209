"""Implementations of `backend.segmenter.Segmenter`."""
