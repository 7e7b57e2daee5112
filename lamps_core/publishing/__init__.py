"""What of a folder goes to the hub, and the cards that say what it is."""
