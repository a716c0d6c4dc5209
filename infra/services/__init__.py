"""Daily work on the containers of stacks: exec, restart, down; on this machine or on hosts."""
