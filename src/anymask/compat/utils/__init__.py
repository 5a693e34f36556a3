"""Where the original keeps its helpers; scripts import them by these paths."""
