"""Observers: what a run tells. They hear tracepoints and deliveries and cannot send."""
