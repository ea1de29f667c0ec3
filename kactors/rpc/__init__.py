"""MessagePack-RPC without sockets: bytes in, messages and bytes out. The service and its clients share it."""
