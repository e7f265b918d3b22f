"""Flow through one network again and again."""
