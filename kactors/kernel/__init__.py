"""Pure data structures of the kernel that actors own: no actors, no time, no messages."""
