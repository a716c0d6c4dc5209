"""SAM 2 on several GPU hosts behind one URL, on Ray Serve. One host does without it, and without Ray."""
