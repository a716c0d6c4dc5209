"""The file with everything that a host without a network needs: its manifest, how it is written, read and verified."""
