"""The one reader of Label Studio's labeling configurations. Standard library only: the backend's image holds it too."""
