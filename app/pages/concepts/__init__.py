"""What each class means to the generator."""
