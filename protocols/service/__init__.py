"""The socket protocol of the service: what clients may ask, what they are told, and how failures are named."""
