"""Even masks: which channels live, how many weights lie between them, and the draw."""
