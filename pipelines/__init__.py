"""The data pipeline: one module per DVC stage, and the miniature world they run on by default."""
