"""The command `compare`: what the guard changes for an app. The tests of working apps (tests/harmless) use it, too."""
