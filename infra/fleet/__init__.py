"""One command on one or many hosts: choice, connections, the hosts side by side."""
