"""Mixed requests for a long time, with swaps and faults: does anything grow, drift or get lost?"""
