"""Pictures of nets: graph (what to draw) → fold (repeated blocks) → layout (where) → svg, or other text.

An SVG holds nothing that a browser would run or fetch.
"""
