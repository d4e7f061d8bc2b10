"""What the guard costs, in ratios taken in one run. `scripts/bench` runs it."""
