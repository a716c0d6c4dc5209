"""Masks through a sequence of images: `./inv propagate`."""
