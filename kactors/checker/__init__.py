"""Search: the same actors and policies, untimed, over the interleavings of a small machine."""
