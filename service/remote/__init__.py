"""A fleet of other servers behind this one: they run the networks, all else is done here."""
