"""A prompt generator over a tree of Markdown plans: what is next in each, by its files alone."""
