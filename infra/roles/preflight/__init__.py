"""Every problem of a machine in one list, before the first change."""
