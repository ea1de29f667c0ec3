"""The parts of a CPU actor: its interrupt state, its TLB and its page lists. Pure state, no messages."""
