"""The cost of the guard, as ratios within a single run. `scripts/bench` runs it."""
