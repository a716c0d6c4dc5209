"""New secrets for a stack that serves: secrets.rotate."""
