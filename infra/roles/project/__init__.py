"""The Label Studio project: token, storage, tasks, ML backend, and the gate."""
