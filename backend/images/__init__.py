"""Images, decoded once and kept by bytes."""
