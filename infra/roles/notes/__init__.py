"""The role "notes": what an administrator reads who finds the stack on a server."""
