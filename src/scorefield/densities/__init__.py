"""Densities from scores: along a line, along the probability flow, and the trace that the flow needs."""
