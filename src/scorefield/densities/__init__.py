"""Densities from scores: along a line, along the flow, and the trace that both need."""
