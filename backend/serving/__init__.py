"""A click from request to mask, and how the server is."""
