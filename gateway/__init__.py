"""What touches the world: command line, configuration, wiring, sessions, the exchange, upstreams, admin."""
