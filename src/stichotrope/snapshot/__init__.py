"""What the core has recorded, read at one moment, and made into results."""
