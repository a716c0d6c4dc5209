"""Making a bundle, on a machine with a network: images, Debian packages, wheels and weights in one file."""
