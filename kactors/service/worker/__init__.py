"""What runs inside a worker process: simulations in turns, and the orders that drive them."""
