"""Docker Engine and Compose, installed, configured and running."""
