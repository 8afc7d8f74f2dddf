"""What it costs to score a table: beside pandas and TensorFlow, and the machine's limits."""
