"""The SAM2 machine-learning backend of Label Studio: clicks and boxes in, masks out."""

__version__ = "0.2.0"
