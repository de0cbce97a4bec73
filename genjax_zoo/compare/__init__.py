"""Runs side by side: what `genjax-zoo compare` measures of each, and the leaderboard that it makes of them."""
