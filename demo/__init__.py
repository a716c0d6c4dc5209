"""The demo: drawn scenes, the demo images, and the demo model (its training is in ``tools/training``).

A leaf of the repository: it imports neither ``infra`` nor ``backend``. ``scenes`` and ``images`` need numpy
and Pillow only.
"""
