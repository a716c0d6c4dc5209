"""The demo: drawn scenes, the demo images, and the script that trains the demo model on them.

A leaf of the repository: it imports neither ``infra`` nor ``backend``. ``scenes`` and ``images`` need numpy
and Pillow only.
"""
