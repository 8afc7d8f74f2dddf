"""Who may do what: keys, tokens, certificates and limits, and what a graph may not do."""
