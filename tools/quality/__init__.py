"""How good the masks are: the backend's own pipeline on the demo's drawn scenes, with the demo model.

May import both `backend` and `demo`, is imported by neither, and is in no image.
"""
