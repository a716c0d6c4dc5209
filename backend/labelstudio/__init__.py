"""What Label Studio sends and wants back: tasks, configurations, prompts, results."""
