"""Benchmarks: Hearth beside other ways to serve the same model, in one run.

    __main__.py   the commands
    run.py        what all measurements of one run share
    servers.py    a server's life: start, first right answer, memory, end
    cores.py      which cores the servers get, and which the load
    forms.py      how each protocol writes rows and reads prices
    peers/        who is measured, how each is set up, and the environment it is installed in
    load/         what sends requests: wrk, h2load, and a paced sender for fixed rates
    scenarios/    what is measured; one module a figure
    report/       results as JSON, a page and pictures

A new figure is a module in ``scenarios/``, its part of ``report/results.py``, and a line in
``__main__.py``.
"""
