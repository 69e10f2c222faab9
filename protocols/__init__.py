"""What every protocol shares, and one folder per protocol: sans-I/O, no clock, blind to pools and policies."""
