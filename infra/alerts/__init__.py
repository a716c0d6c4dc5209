"""Telling people when a link of a stack breaks, and when it holds again."""
