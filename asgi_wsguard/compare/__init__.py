"""The command `compare`: what a guard changes for an app. The tests of working apps (tests/harmless) use it, too."""
