"""The page about runs: what `genjax-zoo report` and `watch` gather from run folders, draw where it lacks, and serve."""
