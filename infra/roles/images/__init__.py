"""The container images, built or sent."""
