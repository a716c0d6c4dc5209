"""One thread owns the model; clicks go before everything else."""
