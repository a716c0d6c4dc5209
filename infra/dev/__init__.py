"""What `./inv test` does."""
