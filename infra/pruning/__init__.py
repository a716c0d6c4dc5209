"""Room on the disk: what labelrig left and nothing needs any more."""
