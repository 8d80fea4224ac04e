"""What carries the work: checkpoints, errors, commands, progress. Knows no dataset, no source and no store."""
