"""The ground floor: figures, files and progress as people read them."""
