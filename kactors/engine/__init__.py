"""Virtual time, total order, delivery, choices, the two runtimes, and what observers and properties can hear."""
