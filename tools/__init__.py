"""The programs: one file a command of `fbnet`."""
