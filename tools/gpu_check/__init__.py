"""`python -m tools.gpu_check`: does labelrig compute right and fast on this GPU? It needs no Docker and no network."""
