"""Images in, masks out: everything that handles the contents of a project."""
