"""What figures are by definition: sets of moments, kept of every pass, and programs that are played on both."""
