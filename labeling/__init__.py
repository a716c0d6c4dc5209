"""The one reader of Label Studio's labeling configurations, and the rule for names of images.

Standard library only: the backend's image holds it too.
"""
