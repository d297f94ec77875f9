"""What every room may import: contexts, times, settings, events, sinks. Imports only `errors`."""
