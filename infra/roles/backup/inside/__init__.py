"""What the backup image runs: restic, and what goes into a snapshot and comes out of it. Standard library only."""
