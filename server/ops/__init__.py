"""What operators run: the `lineal` command, start-up, processes, background jobs."""
