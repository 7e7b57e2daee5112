"""What decides which candidate gets the next landmark step: `protocol`, and one method a file."""
