"""Text datasets: from files, folders or the hub to texts, labels and splits."""
