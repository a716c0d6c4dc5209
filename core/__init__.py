"""What every wing above uses: errors, reports, results, operations, waiting."""
