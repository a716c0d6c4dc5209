"""What is kept on a host: releases, the lock, the audit log, hooks."""
