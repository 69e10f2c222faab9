"""The Redis protocol, RESP2 and RESP3 (https://redis.io/docs/latest/develop/reference/protocol-spec/)."""
