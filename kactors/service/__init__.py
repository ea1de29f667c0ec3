"""The long-running service: many clients, many simulations, nothing lost. docs/service.md tells how it is used."""
