"""Ways to choose schedules, one a file."""
