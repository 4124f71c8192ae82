"""The read compiler: an operation becomes one SQL statement whose answer is the response."""
