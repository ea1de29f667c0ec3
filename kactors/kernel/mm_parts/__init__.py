"""The parts of the mm actor, one conversation each. They share the actor's state only through it."""
