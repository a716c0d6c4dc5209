"""The role "backup": what a stack needs on its machine to back itself up, by hand or on a schedule."""
