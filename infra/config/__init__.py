"""Settings of this machine, the inventory of hosts, and the documents made from them."""
