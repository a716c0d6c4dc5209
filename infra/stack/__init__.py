"""One stack on one host, and the stages that lead to it."""
