"""Masks as shapes: outlines, brush strokes, run lengths, pieces of an image. Knows no request."""
