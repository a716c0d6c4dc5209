"""The NVIDIA container toolkit and GPU access of the engine."""
