"""HTTP/1.1 (RFC 9112), HTTP/2 (RFC 9113) and gRPC over them."""
