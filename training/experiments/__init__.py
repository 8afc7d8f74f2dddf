"""The exercises: questions about the recipe, answered by cross-validation with their spread."""
