"""The life of a stack: backup, restore, drill."""
