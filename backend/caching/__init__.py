"""Caches: in memory and on the disk, bounded in bytes, and one computation for all who want the same."""
