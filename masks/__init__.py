"""Masks as numbers, for the backend and for everything that reads annotations: numpy, OpenCV and Pillow only."""
