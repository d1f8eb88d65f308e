"""Instruction facts as rows of text, and random cases against independent oracles."""
