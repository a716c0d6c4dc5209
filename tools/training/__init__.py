"""Trains the demo model on drawn scenes and measures it. It imports `demo`, and is in no image."""
