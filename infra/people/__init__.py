"""Accounts of people: user.add, .list, .reset, .remove; on this machine or on hosts."""
