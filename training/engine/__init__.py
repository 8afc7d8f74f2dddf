"""The engine: trains many networks of one shape at once, in NumPy.

It computes what Keras's ``fit`` computes for the same first weights and the same order of
rows, and knows neither Keras nor houses: matrices in, matrices and loss curves out.
"""
