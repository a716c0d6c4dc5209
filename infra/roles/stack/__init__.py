"""The containers: rendered files, secrets, model, compose."""
