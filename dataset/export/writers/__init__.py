"""One module a format. A writer is given image after image, and never holds more than one of them."""
