"""The `lineal` command, start-up, processes and background jobs."""
