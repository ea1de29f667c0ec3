"""Simulates page-fault concurrency with message-passing actors in virtual time."""
